#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sluice/base/atomic_file.h"
#include "sluice/base/bytes.h"

namespace sluice {

/// What a span may say of itself; what is negative is left out.
struct SpanArgs {
  int64_t bytes = -1;
  int32_t file = -1;
};

/// What became of what was recorded.
struct TimelineReport {
  uint64_t events = 0;   ///< written
  uint64_t dropped = 0;  ///< beyond the most that are kept; the file says so too
};

/// Records what ran when, and writes it as trace-event JSON, which ui.perfetto.dev opens: spans in lanes.
/// Format: "Trace Event Format" (Chromium), complete and metadata events.
///
/// Whoever records has a pointer to one; null is off. Thread-safe. The spans of a lane must not overlap
/// but by containing each other, so a lane belongs to one thread or to one thing that is done at a time.
/// Names are string literals: they are kept as pointers.
class Timeline {
 public:
  static constexpr size_t kMostEvents = size_t{1} << 20;

  /// An event takes 40 bytes of memory, allocated as they come; the first `most_events` are kept. Throws
  /// Error(io) when `path` cannot be written: now, not after the work.
  explicit Timeline(const std::filesystem::path& path, size_t most_events = kMostEvents);

  /// What its events may take.
  Bytes most_memory() const { return {most_events_ * sizeof(Event)}; }

  /// A row of the picture; rows stand in the order of this call.
  int add_lane(std::string name);

  /// The clock of all spans, nanoseconds.
  static int64_t now_ns() noexcept;

  void record(const char* name, int lane, int64_t start_ns, int64_t end_ns,
              const SpanArgs& args = {}) noexcept;

  /// Writes the file into its place, once; what is recorded later is ignored. Without it, or without an event, an old
  /// file stays.
  /// Throws Error(io).
  TimelineReport finish();

  class Span;

 private:
  struct Event {
    const char* name;
    int64_t start_ns;
    int64_t duration_ns;
    int64_t bytes;
    int32_t lane;
    int32_t file;
  };
  static constexpr size_t kChunk = 4096;

  void add(const Event& event) noexcept;
  const Event& at(size_t i) const { return chunks_[i / kChunk][i % kChunk]; }
  void write_header();
  void write_event(const Event& event);
  void write_dropped();
  double microseconds(int64_t ns) const { return static_cast<double>(ns - origin_ns_) * 1e-3; }

  const size_t most_events_;
  const int64_t origin_ns_ = now_ns();
  std::mutex mutex_;  // guards all below
  AtomicFile file_;
  std::vector<std::string> lanes_;
  std::vector<std::unique_ptr<Event[]>> chunks_;
  size_t n_events_ = 0;
  uint64_t dropped_ = 0;
  bool finished_ = false;
};

/// Records itself from its making to its end. Costs a branch where `timeline` is null.
class Timeline::Span {
 public:
  Span(Timeline* timeline, const char* name, int lane, const SpanArgs& args = {}) noexcept
      : timeline_(timeline), name_(name), lane_(lane), args_(args) {
    if (timeline_ != nullptr) start_ns_ = now_ns();
  }
  ~Span() {
    if (timeline_ != nullptr) timeline_->record(name_, lane_, start_ns_, now_ns(), args_);
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

 private:
  Timeline* timeline_;
  const char* name_;
  int lane_;
  SpanArgs args_;
  int64_t start_ns_ = 0;
};

}  // namespace sluice
