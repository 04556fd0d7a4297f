#pragma once

// An instruction set is compiled as several units, so that they build side by side: the float products, the 8-bit
// products of a third of the formats each, and the rest with the table. This is what they are to each other.
// SLUICE_ISA names the set, SLUICE_ISA_HEADER the header with its vectors (CMakeLists.txt).

#include "sluice/kernels/kernels.h"

namespace sluice::kernels {

/// Rows [begin, end) of w for n_tokens tokens, as KernelTable::matmul_int8.
using Int8Rows = void (*)(const Matrix& w, int64_t begin, int64_t end, const std::byte* const* x,
                          int64_t n_tokens, float* y, int64_t y_stride, std::byte* scratch);

namespace SLUICE_ISA {

void dequantize_row(const Matrix& w, int64_t row, float* out) noexcept;
void matmul(const Matrix& w, int64_t row_begin, int64_t row_end, const float* x, int64_t x_stride,
            int64_t n_tokens, float* y, int64_t y_stride) noexcept;

// The product of a format that the unit has; null for all others.
Int8Rows affine_int8_rows(const Matrix& w) noexcept;
Int8Rows block_int8_rows(const Matrix& w) noexcept;
Int8Rows k_int8_rows(const Matrix& w) noexcept;

}  // namespace SLUICE_ISA
}  // namespace sluice::kernels
