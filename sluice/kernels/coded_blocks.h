#pragma once

#include "sluice/kernels/matrix.h"

namespace sluice::kernels {

/// Whether the format is a GGUF block whose codes no kernel reads as they lie.
constexpr bool is_coded(Format format) { return format >= Format::iq2_xxs; }

/// Columns that share a scale: 16 or 32.
int coded_group(Format format) noexcept;

/// The rows of w, is_coded(w.format), as Format::codes8: codes [rows, cols], scales [rows, cols / coded_group()]. A weight is
/// scale * (code - 64), with the value that gguf.quants.dequantize gives it.
void decode_blocks(const Matrix& w, std::byte* codes, float* scales) noexcept;

}  // namespace sluice::kernels
