#include <unistd.h>

#include <cerrno>

#include "sluice/base/threads.h"
#include "sluice/io/reads/read_queue.h"

namespace sluice::io {
namespace {

class ThreadLanes : public AsyncReader::Lanes {
 public:
  explicit ThreadLanes(ReadQueue& queue) : queue_(queue) {
    try {
      for (int i = 0; i < queue.options().depth; ++i) {
        threads_.start("reads files", [this] { carry(); });
      }
    } catch (...) {
      queue.close();  // which ends those that there are
      throw;
    }
  }

 private:
  void carry() noexcept {
    while (auto piece = queue_.wait_and_take()) {
      while (piece) {
        const ssize_t got = ::pread(piece->descriptor, piece->destination, piece->bytes,
                                    static_cast<off_t>(piece->offset));
        const int64_t answer = got < 0 ? -errno : got;
        piece = queue_.finish(std::move(*piece), answer);
      }
    }
  }

  ReadQueue& queue_;
  Threads threads_;
};

}  // namespace

std::unique_ptr<AsyncReader::Lanes> make_thread_lanes(ReadQueue& queue) {
  return std::make_unique<ThreadLanes>(queue);
}

}  // namespace sluice::io
