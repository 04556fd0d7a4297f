#include "sluice/base/timeline.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <string_view>

#include "sluice/base/error.h"

namespace sluice {
namespace {

/// As a JSON string, quotes included.
std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

Timeline::Timeline(const std::filesystem::path& path, size_t most_events)
    : most_events_(most_events), file_(path) {
  chunks_.reserve((most_events + kChunk - 1) / kChunk);  // add() must not throw
}

int Timeline::add_lane(std::string name) {
  const std::lock_guard lock(mutex_);
  lanes_.push_back(std::move(name));
  return static_cast<int>(lanes_.size()) - 1;
}

int64_t Timeline::now_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Timeline::record(const char* name, int lane, int64_t start_ns, int64_t end_ns,
                      const SpanArgs& args) noexcept {
  add({name, start_ns, end_ns - start_ns, args.bytes, lane, args.file});
}

void Timeline::add(const Event& event) noexcept {
  const std::lock_guard lock(mutex_);
  if (finished_) return;
  if (n_events_ < most_events_ && n_events_ == chunks_.size() * kChunk) {
    const size_t n = std::min(kChunk, most_events_ - n_events_);
    if (auto* const chunk = new (std::nothrow) Event[n]) chunks_.emplace_back(chunk);
  }
  if (n_events_ == most_events_ || n_events_ == chunks_.size() * kChunk) {
    ++dropped_;
    return;
  }
  chunks_[n_events_ / kChunk][n_events_ % kChunk] = event;
  ++n_events_;
}

TimelineReport Timeline::finish() {
  const std::lock_guard lock(mutex_);
  if (finished_) return {n_events_, dropped_};
  finished_ = true;
  if (n_events_ + dropped_ == 0) return {};  // the work was refused
  write_header();
  for (size_t i = 0; i < n_events_; ++i) write_event(at(i));
  if (dropped_ > 0) write_dropped();
  file_.write("\n]}\n");
  file_.commit();
  return {n_events_, dropped_};
}

/// What stands around the events, and the process's and the lanes' names and places. Thread numbers begin
/// at 1. The display's unit is ns because Chrome's own viewer rounds to it when it looks for overlaps.
void Timeline::write_header() {
  file_.write(fmt::format(
      "{{\"displayTimeUnit\":\"ns\",\"otherData\":{{\"dropped_events\":\"{}\"}},\"traceEvents\":[\n"
      "{{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"args\":{{\"name\":\"sluice\"}}}}",
      dropped_));
  for (size_t i = 0; i < lanes_.size(); ++i) {
    file_.write(
        fmt::format(",\n{{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":{0},\"args\":{{"
                    "\"name\":{1}}}}}"
                    ",\n{{\"name\":\"thread_sort_index\",\"ph\":\"M\",\"pid\":1,\"tid\":{0},"
                    "\"args\":{{\"sort_index\":{0}}}}}",
                    i + 1, json_string(lanes_[i])));
  }
}

void Timeline::write_event(const Event& event) {
  const std::string name = json_string(event.name);
  const double start = microseconds(event.start_ns);
  std::string args;
  const auto add_arg = [&](std::string_view key, int64_t value) {
    if (value >= 0) args += fmt::format("{}\"{}\":{}", args.empty() ? "" : ",", key, value);
  };
  add_arg("bytes", event.bytes);
  add_arg("file", event.file);
  file_.write(fmt::format(
      ",\n{{\"name\":{},\"cat\":\"sluice\",\"ph\":\"X\",\"ts\":{:.3f},\"dur\":{:.3f},\"pid\":1,"
      "\"tid\":{},\"args\":{{{}}}}}",
      name, start, static_cast<double>(event.duration_ns) * 1e-3, event.lane + 1, args));
}

/// A mark where the picture ends, since viewers do not show otherData.
void Timeline::write_dropped() {
  const int64_t last = n_events_ > 0 ? at(n_events_ - 1).start_ns : origin_ns_;
  file_.write(fmt::format(
      ",\n{{\"name\":\"{} later events were dropped\",\"cat\":\"sluice\",\"ph\":\"i\",\"s\":\"g\","
      "\"ts\":{:.3f},\"pid\":1,\"tid\":1,\"args\":{{}}}}",
      dropped_, microseconds(last)));
}

}  // namespace sluice
