#include "sluice/io/reads/async_reader.h"

#include "sluice/base/error.h"
#include "sluice/io/reads/read_queue.h"

namespace sluice::io {

AsyncReader::AsyncReader(const std::vector<ModelFile>& files, const ReaderOptions& options)
    : queue_(std::make_unique<ReadQueue>(files, options)) {
  if (options.kind != ReaderKind::threads) {
    lanes_ = make_uring_lanes(*queue_, fallback_reason_);
    if (lanes_ != nullptr) kind_ = ReaderKind::io_uring;
  }
  if (lanes_ == nullptr && options.kind == ReaderKind::io_uring) {
    fail(ErrorKind::io, "io_uring is not to be had: {}; read with threads", fallback_reason_);
  }
  if (lanes_ == nullptr) lanes_ = make_thread_lanes(*queue_);
}

AsyncReader::~AsyncReader() {
  queue_->close();
  lanes_.reset();
}

bool AsyncReader::is_direct(size_t file) const { return queue_->is_direct(file); }

std::vector<Ticket> AsyncReader::submit(std::span<const ReadRequest> requests) {
  return queue_->submit(requests);
}

void AsyncReader::promote(const Ticket& ticket) { queue_->promote(ticket); }
bool AsyncReader::cancel(const Ticket& ticket) { return queue_->cancel(ticket); }
void AsyncReader::wait(std::span<const Ticket> tickets) { queue_->wait(tickets); }

void AsyncReader::abandon(std::span<const Ticket> tickets) {
  for (const Ticket& ticket : tickets) cancel(ticket);  // all, before one that waited can start
  for (const Ticket& ticket : tickets) {
    if (ticket->over()) continue;
    try {
      wait(ticket);
    } catch (const Error&) {  // nobody needs it any more
    }
  }
}

ReaderStatistics AsyncReader::statistics() const { return queue_->statistics(); }

}  // namespace sluice::io
