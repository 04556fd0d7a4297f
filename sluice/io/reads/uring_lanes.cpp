#include <liburing.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <thread>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/base/threads.h"
#include "sluice/io/reads/read_queue.h"

namespace sluice::io {
namespace {

/// One thread owns the ring. It sleeps in the kernel until a piece has arrived or `wake_` was written to.
class UringLanes : public AsyncReader::Lanes {
 public:
  explicit UringLanes(ReadQueue& queue) : queue_(queue) {}

  /// "" when the thread runs.
  std::string start() {
    const auto entries = static_cast<unsigned>(queue_.options().depth) + 1;
    if (const int error = io_uring_queue_init(entries, &ring_, 0); error < 0) {
      return reason("io_uring_setup", -error);
    }
    ring_made_ = true;
    io_uring_probe* const probe = io_uring_get_probe_ring(&ring_);
    const bool reads = probe != nullptr && io_uring_opcode_supported(probe, IORING_OP_READ) != 0;
    if (probe != nullptr) io_uring_free_probe(probe);
    if (!reads) return "io_uring here has no read operation (Linux 5.6 has)";
    wake_ = ::eventfd(0, EFD_CLOEXEC);
    if (wake_ < 0) return reason("eventfd", errno);
    queue_.on_work([this] {
      const uint64_t one = 1;
      (void)!::write(wake_, &one, sizeof(one));  // fails only when it is full, and then it is awake
    });
    pieces_.resize(static_cast<size_t>(queue_.options().depth));
    for (auto& piece : pieces_) free_.push_back(&piece);
    try {
      thread_ = start_thread("reads files", [this] { drive(); });
    } catch (const Error& error) {
      queue_.on_work(nullptr);  // the queue outlives these lanes
      return error.what();
    }
    return "";
  }

  ~UringLanes() override {
    if (thread_.joinable()) thread_.join();
    if (ring_made_) io_uring_queue_exit(&ring_);
    if (wake_ >= 0) ::close(wake_);
  }

 private:
  static std::string reason(const char* what, int error) {
    return fmt::format("{}: {}", what, std::generic_category().message(error));
  }

  void listen() {
    io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
    io_uring_prep_read(sqe, wake_, &woken_, sizeof(woken_), 0);
    io_uring_sqe_set_data(sqe, nullptr);
  }

  /// There is an entry for every lane and one for wake_, so io_uring_get_sqe never runs out.
  void ask(Piece* piece) {
    io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
    io_uring_prep_read(sqe, piece->descriptor, piece->destination,
                       static_cast<unsigned>(piece->bytes), piece->offset);
    io_uring_sqe_set_data(sqe, piece);
  }

  void drive() noexcept {
    listen();
    for (;;) {
      while (auto piece = queue_.take()) {
        Piece* const place = free_.back();  // there is one: the queue hands out `depth` at most
        free_.pop_back();
        *place = std::move(*piece);
        ask(place);
      }
      if (free_.size() == pieces_.size() && queue_.closed()) return;
      // EINTR and EBUSY pass by themselves: what was not submitted stays in the ring.
      (void)io_uring_submit_and_wait(&ring_, 1);
      io_uring_cqe* cqe = nullptr;
      while (io_uring_peek_cqe(&ring_, &cqe) == 0) {
        auto* const piece = static_cast<Piece*>(io_uring_cqe_get_data(cqe));
        const int64_t answer = cqe->res;
        io_uring_cqe_seen(&ring_, cqe);
        if (piece == nullptr) {
          listen();
        } else {
          settle(piece, answer);
        }
      }
    }
  }

  void settle(Piece* piece, int64_t answer) {
    if (auto rest = queue_.finish(std::move(*piece), answer)) {
      *piece = std::move(*rest);
      ask(piece);
    } else {
      *piece = {};
      free_.push_back(piece);
    }
  }

  ReadQueue& queue_;
  io_uring ring_{};
  bool ring_made_ = false;
  int wake_ = -1;
  uint64_t woken_ = 0;
  // Made before the thread runs, which must not fail for want of memory.
  std::vector<Piece> pieces_;  // in flight, or free; the ring knows their addresses
  std::vector<Piece*> free_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<AsyncReader::Lanes> make_uring_lanes(ReadQueue& queue, std::string& why_not) {
  auto lanes = std::make_unique<UringLanes>(queue);
  why_not = lanes->start();
  if (!why_not.empty()) return nullptr;
  return lanes;
}

}  // namespace sluice::io
