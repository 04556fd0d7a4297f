#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/io/formats/tensor_index.h"

namespace sluice {
class Timeline;
}

namespace sluice::io {

class ReadQueue;

/// Demand reads always start before prefetches do.
enum class Priority { demand, prefetch };

/// Bytes of a file that are wanted at an address. `destination` has the same offset modulo 4096 as
/// `offset`, and the whole pages around it are the reader's to overwrite until the read is over.
struct ReadRequest {
  size_t file = 0;  ///< index into the files the reader was made for
  uint64_t offset = 0;
  uint64_t bytes = 0;
  std::byte* destination = nullptr;
  Priority priority = Priority::demand;
};

/// queued -> started -> done | failed, or queued -> cancelled. The last three are final: then nothing
/// writes to the destination any more. Bytes are right in `done`, unspecified in all others.
enum class ReadState : int { queued, started, done, failed, cancelled };

/// A submitted read; small requests of one batch that touch each other share one.
class Read {
 public:
  ReadState state() const { return state_.load(std::memory_order_acquire); }
  bool over() const { return state() > ReadState::started; }
  const std::string& error() const { return error_; }  ///< once failed: the whole line

 private:
  friend class ReadQueue;
  std::atomic<ReadState> state_{ReadState::queued};
  std::string error_;
  // Below: the queue's, under its mutex.
  size_t file_ = 0;
  uint64_t offset_ = 0;  // of the aligned span
  uint64_t bytes_ = 0;   // of the aligned span
  uint64_t wanted_ = 0;  // from offset_ to the end of what was asked for
  std::byte* destination_ = nullptr;
  Priority priority_ = Priority::demand;
  int requests_ = 1;     // that share this read
  uint64_t issued_ = 0;  // bytes handed out in pieces
  int in_flight_ = 0;    // pieces
};

/// Shared by the one who waits, the queue, and whoever else needs the same bytes.
using Ticket = std::shared_ptr<Read>;

enum class ReaderKind { automatic, io_uring, threads };

struct ReaderOptions {
  ReaderKind kind = ReaderKind::automatic;  ///< automatic: io_uring where the system lets us
  int depth = 8;                            ///< pieces in flight, 1 to 256
  uint64_t piece_bytes = 1 << 20;           ///< most of one piece, a multiple of 4096
  bool direct = true;                       ///< past the page cache, where the file system can
  /// Gets a lane of the time that callers wait, `depth` lanes and a span for each piece, with its bytes and its file: "demand", "prefetch", "late
  /// prefetch" (promoted while it was read) or "failed read". Outlives the reader; null: nothing.
  Timeline* timeline = nullptr;
  /// For tests: gets what the system answered (bytes, or -errno) for the piece of `file` at `offset`
  /// and returns what the reader shall believe. Runs on a lane's thread.
  std::function<int64_t(size_t file, uint64_t offset, int64_t answer)> tamper = {};
};

/// Since the reader was made.
struct ReaderStatistics {
  uint64_t bytes = 0;     ///< that arrived, page rounding included
  uint64_t requests = 0;  ///< that were submitted
  uint64_t pieces = 0;    ///< reads the system was asked for, repeated ones included
  uint64_t failed = 0;    ///< reads that ended in an error
  uint64_t cancelled = 0;
  uint64_t late_bytes = 0;    ///< of prefetches that were still under way when they were needed
  double busy_seconds = 0;    ///< with at least one piece in flight
  double waited_seconds = 0;  ///< callers spent in wait()
  double mean_depth = 0;      ///< pieces in flight while busy
};

/// Reads parts of a model's files while others compute. All functions may be called by any thread. A
/// short answer is continued; an error, the file's end inside a request, or a file that was written to
/// since the reader was made fails the read with one line. Replacing a file by renaming is harmless:
/// the one that was opened is read on.
class AsyncReader {
 public:
  /// Throws Error(io) when a file cannot be opened or is not as long as `files` says, or when io_uring
  /// is demanded and not to be had; Error(bad_request) for options out of range.
  explicit AsyncReader(const std::vector<ModelFile>& files, const ReaderOptions& options = {});
  /// Cancels what has not started and waits for the rest.
  ~AsyncReader();
  AsyncReader(const AsyncReader&) = delete;
  AsyncReader& operator=(const AsyncReader&) = delete;

  ReaderKind kind() const { return kind_; }  ///< never automatic
  /// Why it is not io_uring; "" when it is, or when threads were asked for.
  const std::string& fallback_reason() const { return fallback_reason_; }
  /// Whether this file is read past the page cache. If not, its pages are dropped after each piece.
  bool is_direct(size_t file) const;

  /// One ticket per request, in order. Throws Error(internal) for a request outside its file or with a
  /// misaligned destination, and then starts none.
  std::vector<Ticket> submit(std::span<const ReadRequest> requests);

  /// Makes a prefetch a demand read. Does nothing to a read that is over.
  void promote(const Ticket& ticket);

  /// True when the read will not start; false when it had started or was over, or when another request
  /// shares it.
  bool cancel(const Ticket& ticket);

  /// Cancels those that have not started and waits for the others, whatever becomes of them. Then nothing
  /// writes to their destinations any more.
  void abandon(std::span<const Ticket> tickets);

  /// Returns when all are over. Prefetches among them are promoted. Throws Error(io) with the first
  /// failure, Error(internal) for a cancelled read.
  void wait(std::span<const Ticket> tickets);
  void wait(const Ticket& ticket) { wait(std::span(&ticket, 1)); }

  ReaderStatistics statistics() const;

  struct Lanes;  ///< what carries pieces to the system: a ring or threads

 private:
  std::unique_ptr<ReadQueue> queue_;
  std::unique_ptr<Lanes> lanes_;
  ReaderKind kind_ = ReaderKind::threads;
  std::string fallback_reason_;
};

}  // namespace sluice::io
