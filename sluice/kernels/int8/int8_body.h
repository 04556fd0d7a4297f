#pragma once

// y = x w^T on 8-bit activations (int8_row.h), for quantized weights. Per group: an exact integer dot product,
// to which weight scale times activation scale, and bias times the activations' scaled sum, are applied; sixteen
// partial sums by group mod 16, groups ascending, then the tree of kernels.h.

#include "sluice/kernels/int8/int8_few_body.h"
#include "sluice/kernels/int8/int8_panels_body.h"

namespace sluice::kernels {
namespace {

template <class F>
void int8_rows(const Matrix& w, int64_t begin, int64_t end, const std::byte* const* x,
               int64_t n_tokens, float* y, int64_t y_stride, std::byte* scratch) {
  if (n_tokens <= kFewInt8Tokens) {
    return FewTokens<F>(w, x, n_tokens, scratch).rows(begin, end, y, y_stride);
  }
  many_int8_rows<F>(w, begin, end, x, n_tokens, y, y_stride, scratch);
}

}  // namespace
}  // namespace sluice::kernels
