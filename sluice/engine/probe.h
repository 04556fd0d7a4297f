#pragma once

#include "sluice/engine/engine.h"

namespace sluice::engine {

/// Bytes per second that this machine gives this engine.
struct Bandwidths {
  double memory =
      0;  ///< best of 5 sequential reads of 1 GB by the engine's threads (within a budget: of weights
          ///< that are in memory, again and again)
  double disk =
      0;  ///< the model's largest file read past the page cache; 0 where that cannot be done
};

Bandwidths probe_bandwidths(Engine& engine);

/// Memory's alone, with no engine: 256 MB are read again and again. n_threads of 0: all processors.
double probe_memory_bandwidth(int n_threads);

/// How fast the file system reads that `file` is on: what was found lately and is kept in `cache` (io/disk_profile.h),
/// else (or where `cache` is empty) what is found now. 0 when it cannot be told, as from a file with holes, which take
/// no reading.
double disk_bandwidth(const std::filesystem::path& file, const std::filesystem::path& cache);

}  // namespace sluice::engine
