#pragma once

#include <cstdint>

namespace sluice::ops {

/// What few bits would hold of a row: models that were trained so compute with the rounded values (DeepSeek-V4.1).
/// Elements share a scale in blocks; a row that is no whole number of them stays as it is.
enum class Rounding {
  none,
  e4m3,       ///< 32 elements, a power of two (MXFP8)
  e2m1,       ///< 32 elements, a power of two (MXFP4)
  e2m1_e4m3,  ///< 16 elements, a number of E4M3 (NVFP4)
};

void round_row(Rounding rounding, float* x, int64_t n) noexcept;

}  // namespace sluice::ops
