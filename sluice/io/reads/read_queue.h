#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "sluice/io/file_stamp.h"
#include "sluice/io/reads/async_reader.h"
#include "sluice/io/reads/direct_file.h"
#include "sluice/io/reads/read_trace.h"

namespace sluice::io {

/// A part of a read as the system gets it. Offset, size and address are multiples of 4096.
struct Piece {
  Ticket read;
  int descriptor = -1;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t wanted = 0;  ///< of bytes; the rest may lie behind the file's end
  std::byte* destination = nullptr;
  int stalls = 0;  ///< answers in a row that brought it no page further
  ReadSpan span;
};

/// Which piece goes next, and what its answer means: all of the asynchronous reader but the system
/// calls. Thread-safe.
class ReadQueue {
 public:
  /// Throws Error(io), Error(bad_request) as AsyncReader does.
  ReadQueue(const std::vector<ModelFile>& files, ReaderOptions options);

  const ReaderOptions& options() const { return options_; }
  bool is_direct(size_t file) const { return files_[file].direct; }

  // For callers.
  std::vector<Ticket> submit(std::span<const ReadRequest> requests);
  void promote(const Ticket& ticket);
  bool cancel(const Ticket& ticket);
  void wait(std::span<const Ticket> tickets);
  ReaderStatistics statistics() const;

  // For lanes.
  /// Called, outside the lock, after work was added or the queue was closed.
  void on_work(std::function<void()> notify) { notify_ = std::move(notify); }
  /// The next piece, nullopt when none may start now.
  std::optional<Piece> take();
  /// Waits for the next piece; nullopt once closed.
  std::optional<Piece> wait_and_take();
  /// Ends a piece with what the system answered: bytes or -errno. Returns what must be asked again.
  std::optional<Piece> finish(Piece piece, int64_t answer);
  /// Cancels all that has not started; after this no piece is handed out.
  void close();
  bool closed() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct File {
    DirectFile file;
    std::string name;
    FileStamp stamp;
    bool direct = false;
  };

  void check(const ReadRequest& request) const;
  std::optional<Piece> take_locked();
  Read* front(std::deque<Ticket>& queue, Priority priority);
  void end_locked(Read& read, ReadState state);
  void count_locked(int change);
  void fail_locked(Read& read, std::string error);
  std::string why_not(const Piece& piece, int64_t answer, bool changed) const noexcept;

  ReaderOptions options_;
  std::vector<File> files_;
  std::function<void()> notify_;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Ticket> demand_;
  std::deque<Ticket> prefetch_;
  bool closed_ = false;
  int in_flight_ = 0;
  int prefetches_in_flight_ = 0;
  ReadTrace lanes_;
  ReaderStatistics statistics_;
  double depth_seconds_ = 0;
  Clock::time_point counted_ = Clock::now();
};

/// What AsyncReader owns beside the queue: ends its threads when destroyed (the queue is closed before).
struct AsyncReader::Lanes {
  virtual ~Lanes() = default;
};

/// Threads that each carry one piece at a time. Throws Error(io), and the queue is closed, when
/// they cannot be made.
std::unique_ptr<AsyncReader::Lanes> make_thread_lanes(ReadQueue& queue);

/// One thread that drives a ring. nullptr, and why, when the system has none for us.
std::unique_ptr<AsyncReader::Lanes> make_uring_lanes(ReadQueue& queue, std::string& why_not);

}  // namespace sluice::io
