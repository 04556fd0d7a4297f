#pragma once

// y = x w^T on 8-bit activations (int8_row.h), for quantized weights. Per group: an exact integer dot product,
// to which weight scale times activation scale, and bias times the activations' scaled sum, are applied; sixteen
// partial sums by group mod 16, groups ascending, then the tree of kernels.h.

#include "sluice/kernels/int8/int8_few_body.h"
#include "sluice/kernels/int8/int8_panels_body.h"

namespace sluice::kernels {
namespace {

template <class F, int n_tokens>
[[gnu::noinline]] void few_int8_rows(const Matrix& w, int64_t begin, int64_t end,
                                     const std::byte* const* x, float* y, int64_t y_stride,
                                     std::byte* scratch) {
  FewTokens<F, n_tokens>(w, x, scratch).rows(begin, end, y, y_stride);
}

template <class F>
void int8_rows(const Matrix& w, int64_t begin, int64_t end, const std::byte* const* x,
               int64_t n_tokens, float* y, int64_t y_stride, std::byte* scratch) {
  if constexpr (kFewInt8Tokens == 1) {  // one loop for any number of tokens, and no panels
    for (int64_t t = 0; t < n_tokens; ++t, y += y_stride) {
      few_int8_rows<F, 1>(w, begin, end, x + t, y, y_stride, scratch);
    }
    return;
  }
  unrolled<kFewInt8Tokens>([&](auto i) __attribute__((always_inline)) {
    if (n_tokens == i + 1) few_int8_rows<F, i + 1>(w, begin, end, x, y, y_stride, scratch);
  });
  if (n_tokens <= kFewInt8Tokens) return;
  if constexpr (kPanelInRegisters) {
    if (n_tokens <= kTokensOfRuns) {
      return some_int8_rows<F>(w, begin, end, x, n_tokens, y, y_stride, scratch);
    }
  }
  many_int8_rows<F>(w, begin, end, x, n_tokens, y, y_stride, scratch);
}

}  // namespace
}  // namespace sluice::kernels
