#pragma once

#include <filesystem>

#include "sluice/io/reads/async_reader.h"

namespace sluice::io {

/// How a disk is read best, and how fast that is.
struct DiskProfile {
  uint64_t piece_bytes = ReaderOptions{}.piece_bytes;
  int depth = ReaderOptions{}.depth;
  bool direct = true;
  double bytes_per_second = 0;  ///< 0: not measured, the rest are defaults
};

/// Reads 16 MB of `file` twice in each of nine combinations of piece size and depth, past the page cache where
/// that can be done, for a second at most: what a slow disk leaves untried is not chosen. The defaults win
/// where they are within 10 % of the best, since so short a look is no surer than that; else the smallest
/// depth and piece that are, since they let a demand read in soonest. Defaults also when the file is smaller
/// than 64 MB or a read fails: a probe is no reason to stop.
DiskProfile measure_disk(const std::filesystem::path& file);

/// What measure_disk() found in the last seven days for the file system `file` is on, from `cache` (a
/// directory of ours, made when it is missing), or else finds now and keeps there. A cache that cannot be
/// read or written is passed over.
DiskProfile disk_profile(const std::filesystem::path& file, const std::filesystem::path& cache);

}  // namespace sluice::io
