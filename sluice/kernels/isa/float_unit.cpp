#include SLUICE_ISA_HEADER
#include "sluice/kernels/float/matmul_body.h"
#include "sluice/kernels/isa/units.h"

namespace sluice::kernels::SLUICE_ISA {

void dequantize_row(const Matrix& w, int64_t row, float* out) noexcept {
  kernels::dequantize_row(w, row, out);
}

void matmul(const Matrix& w, int64_t row_begin, int64_t row_end, const float* x, int64_t x_stride,
            int64_t n_tokens, float* y, int64_t y_stride) noexcept {
  kernels::matmul(w, row_begin, row_end, x, x_stride, n_tokens, y, y_stride);
}

}  // namespace sluice::kernels::SLUICE_ISA
