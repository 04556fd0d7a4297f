#include "sluice/engine/probe.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "sluice/engine/engine_impl.h"
#include "sluice/io/disk_probe.h"

namespace sluice::engine {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kProbeBytes = 1'000'000'000;
constexpr int kProbes = 5;

/// Sums 64-bit words: as fast as memory delivers them.
uint64_t read_all(const uint64_t* words, int64_t n) {
  uint64_t sums[8] = {};
  for (int64_t i = 0; i + 8 <= n; i += 8) {
    for (int64_t j = 0; j < 8; ++j) sums[j] += words[i + j];
  }
  uint64_t sum = 0;
  for (const uint64_t s : sums) sum += s;
  return sum;
}

double probe_memory(ThreadPool& pool) {
  const int64_t n = kProbeBytes / 8;
  std::vector<uint64_t> words(static_cast<size_t>(n), 1);
  std::atomic<uint64_t> sink{0};
  double best = 0;
  for (int i = 0; i < kProbes; ++i) {
    const auto start = Clock::now();
    pool.parallel_for(n, 1 << 17, [&](int64_t begin, int64_t end) {
      sink += read_all(words.data() + begin, end - begin);
    });
    best = std::max(best, static_cast<double>(n) * 8 /
                              std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

}  // namespace

Bandwidths probe_bandwidths(Engine& engine) {
  Engine::Impl& impl = engine.impl();
  const auto& files = impl.loaded.store->index().files;
  const auto largest = std::max_element(
      files.begin(), files.end(), [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
  Bandwidths found;
  found.memory = impl.worker.run([&] { return probe_memory(impl.pool); });
  found.disk = io::probe_disk(largest->path);
  return found;
}

}  // namespace sluice::engine
