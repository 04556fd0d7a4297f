#include "sluice/engine/probe.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <span>
#include <vector>

#include "sluice/engine/engine_impl.h"
#include "sluice/io/reads/disk_probe.h"
#include "sluice/io/reads/disk_profile.h"

namespace sluice::engine {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kProbeBytes = 1'000'000'000;
constexpr int kProbes = 5;
constexpr size_t kSmallProbeBytes = 256 << 20;  // more than caches hold

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

/// Reads 1 GB in sequence, or `words` as often as makes 1 GB.
double probe_memory(ThreadPool& pool, std::span<const uint64_t> words) {
  const auto n = static_cast<int64_t>(words.size());
  const int64_t rounds = std::max<int64_t>(1, kProbeBytes / 8 / n);
  std::atomic<uint64_t> sink{0};
  double best = 0;
  for (int i = 0; i < kProbes; ++i) {
    const auto start = Clock::now();
    for (int64_t round = 0; round < rounds; ++round) {
      pool.parallel_for(n, 1 << 17, [&](int64_t begin, int64_t end) {
        sink += read_all(words.data() + begin, end - begin);
      });
    }
    best = std::max(best, static_cast<double>(rounds * n) * 8 /
                              std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

}  // namespace

Bandwidths probe_bandwidths(Engine& engine) {
  Engine::Impl& impl = engine.impl();
  Bandwidths found;
  found.memory = impl.worker.run([&] {
    const std::span<const std::byte> held = impl.loaded.store->held();
    if (!held.empty()) {
      return probe_memory(impl.pool,
                          {reinterpret_cast<const uint64_t*>(held.data()), held.size() / 8});
    }
    const std::vector<uint64_t> words(kProbeBytes / 8, 1);
    return probe_memory(impl.pool, words);
  });
  found.disk = io::probe_disk(engine.largest_file());
  return found;
}

double probe_memory_bandwidth(int n_threads) {
  ThreadPool pool(n_threads > 0 ? n_threads : available_processors());
  const std::vector<uint64_t> words(kSmallProbeBytes / 8, 1);
  return probe_memory(pool, words);
}

double disk_bandwidth(const std::filesystem::path& file, const std::filesystem::path& cache) {
  struct stat status {};
  constexpr uint64_t kBlock =
      512;  // POSIX: st_blocks are of 512 bytes, whatever the file system's are of
  if (::stat(file.c_str(), &status) != 0 ||
      static_cast<uint64_t>(status.st_blocks) * kBlock < static_cast<uint64_t>(status.st_size)) {
    return 0;
  }
  const double kept = cache.empty() ? 0 : io::disk_profile(file, cache).bytes_per_second;
  return kept > 0 ? kept : io::probe_disk(file);
}

}  // namespace sluice::engine
