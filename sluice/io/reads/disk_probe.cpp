#include "sluice/io/reads/disk_probe.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>

#include "sluice/base/error.h"
#include "sluice/base/threads.h"
#include "sluice/io/reads/aligned_span.h"
#include "sluice/io/reads/direct_file.h"

namespace sluice::io {
namespace {

constexpr int64_t kMost = 512 << 20;
constexpr int64_t kPiece = 1 << 20;
constexpr int kThreads = 4;

struct FreeBuffer {
  void operator()(void* p) const { std::free(p); }
};

}  // namespace

double probe_disk(const std::filesystem::path& file) {
  const int fd = open_direct(file);
  if (fd < 0) return 0;
  std::error_code error;
  const auto size = static_cast<int64_t>(std::filesystem::file_size(file, error));
  const int64_t pieces = error ? 0 : std::min(kMost, size) / kPiece;
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> done{0};
  const auto start = std::chrono::steady_clock::now();
  const auto read_some = [&] {
    const std::unique_ptr<void, FreeBuffer> buffer(std::aligned_alloc(kDirectAlignment, kPiece));
    for (int64_t piece = next++; buffer && piece < pieces; piece = next++) {
      const ssize_t got = pread(fd, buffer.get(), kPiece, piece * kPiece);
      if (got != kPiece) return;
      done += got;
    }
  };
  {
    Threads threads;
    try {
      for (int i = 0; i < kThreads; ++i) threads.start("reads files", read_some);
    } catch (const Error&) {
      next = pieces;  // fewer threads measure another disk: better nothing
    }
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  close(fd);
  return pieces > 0 && done == pieces * kPiece ? static_cast<double>(done) / seconds : 0;
}

}  // namespace sluice::io
