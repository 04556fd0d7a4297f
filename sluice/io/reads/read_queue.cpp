#include "sluice/io/reads/read_queue.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <numeric>
#include <system_error>
#include <tuple>

#include "sluice/base/error.h"
#include "sluice/io/reads/aligned_span.h"

namespace sluice::io {
namespace {

constexpr int kMostStalls = 16;

double seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

bool repeats(int64_t answer) { return answer == -EINTR || answer == -EAGAIN; }

}  // namespace

ReadQueue::ReadQueue(const std::vector<ModelFile>& files, ReaderOptions options)
    : options_(std::move(options)) {
  if (options_.depth < 1 || options_.depth > 256) {
    fail(ErrorKind::bad_request, "read depth {}: wanted 1 to 256", options_.depth);
  }
  if (options_.piece_bytes == 0 || options_.piece_bytes > (1u << 30) ||
      options_.piece_bytes % kDirectAlignment != 0) {
    fail(ErrorKind::bad_request, "read size {}: wanted a multiple of {} up to 1 GiB",
         options_.piece_bytes, kDirectAlignment);
  }
  files_.reserve(files.size());
  for (const ModelFile& file : files) {
    DirectFile opened(file.path,
                      options_.direct ? DirectFile::Cache::bypass : DirectFile::Cache::use);
    const std::optional<FileStamp> stamp = opened.stamp();
    if (!stamp) fail(ErrorKind::io, "{}: cannot be examined", file.path.string());
    if (stamp->bytes != file.bytes) {
      fail(ErrorKind::io, "{}: has {} bytes, had {} when its tensors were listed; load it again",
           file.path.string(), stamp->bytes, file.bytes);
    }
    const bool direct = opened.is_direct();
    files_.push_back({std::move(opened), file.path.string(), *stamp, direct});
  }
  lanes_ = ReadTrace(options_.timeline, options_.depth);
}

// --- for callers

void ReadQueue::check(const ReadRequest& request) const {
  if (request.file >= files_.size()) {
    fail(ErrorKind::internal, "read of file {}: there are {}", request.file, files_.size());
  }
  const uint64_t size = files_[request.file].stamp.bytes;
  if (request.bytes == 0 || request.offset > size || request.bytes > size - request.offset) {
    fail(ErrorKind::internal, "{}: read of {} bytes at {}, the file has {}",
         files_[request.file].name, request.bytes, request.offset, size);
  }
  const auto address = reinterpret_cast<uintptr_t>(request.destination);
  if (address % kDirectAlignment != request.offset % kDirectAlignment) {
    fail(ErrorKind::internal, "{}: read at {} into an address with another remainder modulo {}",
         files_[request.file].name, request.offset, kDirectAlignment);
  }
}

std::vector<Ticket> ReadQueue::submit(std::span<const ReadRequest> requests) {
  for (const ReadRequest& request : requests) check(request);
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::tie(requests[a].file, requests[a].offset) <
           std::tie(requests[b].file, requests[b].offset);
  });

  std::vector<Ticket> tickets(requests.size());
  std::vector<Ticket> reads;
  Read* last = nullptr;
  for (const size_t i : order) {
    const ReadRequest& request = requests[i];
    const AlignedSpan span = aligned_span(request.offset, request.bytes);
    std::byte* const start = request.destination - span.skip;
    // Only spans that touch in the file and in memory: between others memory may hold something else.
    if (last != nullptr && last->file_ == request.file && last->priority_ == request.priority &&
        span.offset <= last->offset_ + last->bytes_ &&
        start - last->destination_ == static_cast<ptrdiff_t>(span.offset - last->offset_) &&
        span.offset + span.bytes - last->offset_ <= options_.piece_bytes) {
      last->bytes_ = std::max(last->bytes_, span.offset + span.bytes - last->offset_);
      last->wanted_ = std::max(last->wanted_, request.offset + request.bytes - last->offset_);
      ++last->requests_;
      tickets[i] = reads.back();
      continue;
    }
    auto read = std::make_shared<Read>();
    read->file_ = request.file;
    read->offset_ = span.offset;
    read->bytes_ = span.bytes;
    read->wanted_ = span.skip + request.bytes;
    read->destination_ = start;
    read->priority_ = request.priority;
    last = read.get();
    tickets[i] = read;
    reads.push_back(std::move(read));
  }
  uint64_t pieces = 0;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) fail(ErrorKind::internal, "read submitted to a closed reader");
    statistics_.requests += requests.size();
    for (Ticket& read : reads) {
      pieces += (read->bytes_ + options_.piece_bytes - 1) / options_.piece_bytes;
      (read->priority_ == Priority::demand ? demand_ : prefetch_).push_back(std::move(read));
    }
  }
  for (uint64_t i = 0; i < pieces && i < static_cast<uint64_t>(options_.depth); ++i) {
    work_.notify_one();
  }
  if (notify_) notify_();
  return tickets;
}

void ReadQueue::promote(const Ticket& ticket) {
  {
    const std::lock_guard lock(mutex_);
    if (ticket->over() || ticket->priority_ == Priority::demand) return;
    statistics_.late_bytes += ticket->wanted_;
    ticket->priority_ = Priority::demand;
    prefetches_in_flight_ -= ticket->in_flight_;
    // Its place among the prefetches stays and is passed over.
    if (ticket->issued_ < ticket->bytes_) demand_.push_back(ticket);
  }
  work_.notify_all();
  if (notify_) notify_();
}

bool ReadQueue::cancel(const Ticket& ticket) {
  const std::lock_guard lock(mutex_);
  if (ticket->state() != ReadState::queued || ticket->requests_ == 0) return false;
  if (--ticket->requests_ > 0) return false;
  ++statistics_.cancelled;
  end_locked(*ticket, ReadState::cancelled);
  return true;
}

void ReadQueue::wait(std::span<const Ticket> tickets) {
  const auto start = Clock::now();
  bool waited = false;
  for (const Ticket& ticket : tickets) promote(ticket);
  for (const Ticket& ticket : tickets) {
    for (ReadState state = ticket->state(); state <= ReadState::started; state = ticket->state()) {
      waited = true;
      ticket->state_.wait(state, std::memory_order_acquire);
    }
  }
  if (waited) {
    const auto spent = Clock::now() - start;
    const std::lock_guard lock(mutex_);
    statistics_.waited_seconds += seconds(spent);
    lanes_.waited(std::chrono::nanoseconds(spent).count());
  }
  for (const Ticket& ticket : tickets) {
    if (ticket->state() == ReadState::failed) throw Error(ErrorKind::io, ticket->error());
    if (ticket->state() == ReadState::cancelled) {
      fail(ErrorKind::internal, "{}: waited for a cancelled read at {}", files_[ticket->file_].name,
           ticket->offset_);
    }
  }
}

ReaderStatistics ReadQueue::statistics() const {
  const std::lock_guard lock(mutex_);
  ReaderStatistics now = statistics_;
  const double open = in_flight_ > 0 ? seconds(Clock::now() - counted_) : 0;
  now.busy_seconds += open;
  const double depth_seconds = depth_seconds_ + open * in_flight_;
  now.mean_depth = now.busy_seconds > 0 ? depth_seconds / now.busy_seconds : 0;
  return now;
}

// --- for lanes

/// The first read of a queue that still has pieces to hand out; what is over, or has moved to the
/// other queue, is dropped.
Read* ReadQueue::front(std::deque<Ticket>& queue, Priority priority) {
  while (!queue.empty()) {
    Read& read = *queue.front();
    if (read.priority_ == priority && !read.over() && read.error_.empty() &&
        read.issued_ < read.bytes_) {
      return &read;
    }
    queue.pop_front();
  }
  return nullptr;
}

std::optional<Piece> ReadQueue::take_locked() {
  if (closed_ || in_flight_ >= options_.depth) return std::nullopt;
  const Ticket* next = nullptr;
  if (front(demand_, Priority::demand) != nullptr) {
    next = &demand_.front();
  } else if (prefetches_in_flight_ < (options_.depth + 1) / 2 &&
             front(prefetch_, Priority::prefetch) != nullptr) {
    // Half the lanes at most: a demand read that comes now must not find them all taken.
    next = &prefetch_.front();
  }
  if (next == nullptr) return std::nullopt;
  Read& read = **next;
  Piece piece;
  piece.read = *next;
  piece.descriptor = files_[read.file_].file.descriptor();
  piece.offset = read.offset_ + read.issued_;
  piece.bytes = std::min(options_.piece_bytes, read.bytes_ - read.issued_);
  piece.wanted = std::min(piece.bytes, read.wanted_ - read.issued_);
  piece.destination = read.destination_ + read.issued_;
  read.issued_ += piece.bytes;
  ++read.in_flight_;
  if (read.priority_ == Priority::prefetch) ++prefetches_in_flight_;
  if (read.state() == ReadState::queued) {
    read.state_.store(ReadState::started, std::memory_order_release);
  }
  count_locked(+1);
  piece.span = lanes_.begin(read.priority_, piece.bytes);
  return piece;
}

std::optional<Piece> ReadQueue::take() {
  const std::lock_guard lock(mutex_);
  return take_locked();
}

std::optional<Piece> ReadQueue::wait_and_take() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (closed_) return std::nullopt;
    if (auto piece = take_locked()) return piece;
    work_.wait(lock);
  }
}

std::optional<Piece> ReadQueue::finish(Piece piece, int64_t answer) {
  const File& file = files_[piece.read->file_];
  if (options_.tamper) {
    const int64_t believed = options_.tamper(piece.read->file_, piece.offset, answer);
    // What a short answer leaves out must not be there by luck.
    const int64_t arrived = std::max<int64_t>(believed, 0);
    if (arrived < answer) {
      std::memset(piece.destination + arrived, 0xEE, static_cast<size_t>(answer - arrived));
    }
    answer = believed;
  }
  const auto got = static_cast<uint64_t>(std::max<int64_t>(answer, 0));
  if (!file.direct && got > 0) drop_cached(piece.descriptor, piece.offset, got);
  if (repeats(answer) || (got > 0 && got < piece.wanted)) {
    const uint64_t pages = got - got % kDirectAlignment;
    piece.stalls = pages > 0 ? 0 : piece.stalls + 1;
    if (piece.stalls <= kMostStalls) {
      piece.offset += pages;
      piece.bytes -= pages;
      piece.wanted -= pages;
      piece.destination += pages;
      const std::lock_guard lock(mutex_);
      ++statistics_.pieces;
      statistics_.bytes += pages;
      return piece;
    }
  }
  // After the bytes have come: whoever changed them before that has left a trace.
  const bool changed = file.file.stamp() != file.stamp;
  const bool good = got >= piece.wanted && !changed;
  std::string error = good ? "" : why_not(piece, answer, changed);

  Read& read = *piece.read;
  bool more = false;
  {
    const std::lock_guard lock(mutex_);
    ++statistics_.pieces;
    statistics_.bytes += got;
    if (read.priority_ == Priority::prefetch) --prefetches_in_flight_;
    count_locked(-1);
    lanes_.end(piece.span, read.priority_, read.file_, good);
    --read.in_flight_;
    if (!good) fail_locked(read, std::move(error));
    const bool failed = !read.error_.empty();
    if (read.in_flight_ == 0 && (failed || read.issued_ == read.bytes_)) {
      end_locked(read, failed ? ReadState::failed : ReadState::done);
    }
    more = !demand_.empty() || !prefetch_.empty();
  }
  if (more) work_.notify_one();
  return std::nullopt;
}

void ReadQueue::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    for (auto* queue : {&demand_, &prefetch_}) {
      for (const Ticket& ticket : *queue) {
        if (ticket->state() == ReadState::queued) {
          ++statistics_.cancelled;
          end_locked(*ticket, ReadState::cancelled);
        } else if (!ticket->over() && ticket->issued_ < ticket->bytes_) {
          fail_locked(*ticket, files_[ticket->file_].name + ": the reader was closed");
          if (ticket->in_flight_ == 0) end_locked(*ticket, ReadState::failed);
        }
      }
      queue->clear();
    }
  }
  work_.notify_all();
  if (notify_) notify_();
}

bool ReadQueue::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

void ReadQueue::end_locked(Read& read, ReadState state) {
  read.state_.store(state, std::memory_order_release);
  read.state_.notify_all();
}

void ReadQueue::fail_locked(Read& read, std::string error) {
  if (!read.error_.empty()) return;
  ++statistics_.failed;
  read.error_ = std::move(error);
}

void ReadQueue::count_locked(int change) {
  const auto now = Clock::now();
  if (in_flight_ > 0) {
    statistics_.busy_seconds += seconds(now - counted_);
    depth_seconds_ += seconds(now - counted_) * in_flight_;
  }
  counted_ = now;
  in_flight_ += change;
}

/// Runs on lanes' threads, where nothing may be thrown.
std::string ReadQueue::why_not(const Piece& piece, int64_t answer, bool changed) const noexcept {
  try {
    const std::string& name = files_[piece.read->file_].name;
    if (changed) return changed_while_in_use(name);
    if (answer < 0) {
      return fmt::format("{}: reading {} bytes at {} failed: {}; check the disk", name, piece.bytes,
                         piece.offset, std::generic_category().message(static_cast<int>(-answer)));
    }
    return fmt::format("{}: ends at {}, wanted {} bytes more; restore the file", name,
                       piece.offset + static_cast<uint64_t>(answer),
                       piece.wanted - static_cast<uint64_t>(answer));
  } catch (const std::bad_alloc&) {
    return "out of memory";  // short enough to need none
  }
}

}  // namespace sluice::io
