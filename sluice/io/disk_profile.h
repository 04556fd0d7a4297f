#pragma once

#include <filesystem>

#include "sluice/io/async_reader.h"

namespace sluice::io {

/// How a disk is read best, and how fast that is.
struct DiskProfile {
  uint64_t piece_bytes = ReaderOptions{}.piece_bytes;
  int depth = ReaderOptions{}.depth;
  bool direct = true;
  double bytes_per_second = 0;  ///< 0: not measured, the rest are defaults
};

/// Reads up to 32 MB of `file` in each of nine combinations of piece size and depth, past the page cache
/// where that can be done; a fraction of a second on an SSD. The smallest depth and piece within 3 % of
/// the best win, since they let a demand read in soonest. Defaults when the file is smaller than 64 MB
/// or a read fails: a probe is no reason to stop.
DiskProfile measure_disk(const std::filesystem::path& file);

/// What measure_disk() found before for the device `file` is on, from `cache` (a directory of ours, made
/// when it is missing), or else finds now and keeps there. A cache that cannot be read or written is
/// passed over.
DiskProfile disk_profile(const std::filesystem::path& file, const std::filesystem::path& cache);

}  // namespace sluice::io
