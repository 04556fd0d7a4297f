#pragma once

// y = x w^T on 8-bit activations (int8_row.h), for quantized weights. Per group: an exact integer dot product,
// to which weight scale times activation scale, and bias times the activations' scaled sum, are applied; sixteen
// partial sums by group mod 16, groups ascending, then the tree of kernels.h.

#include "sluice/kernels/int8/int8_few_body.h"
#include "sluice/kernels/int8/int8_panels_body.h"

namespace sluice::kernels {
namespace {

constexpr int kFewInt8Tokens = 4;  // a panel for fewer costs more to unpack than to multiply

template <class F>
void int8_rows(const Matrix& w, int64_t begin, int64_t end, const std::byte* const* x,
               int64_t n_tokens, float* y, int64_t y_stride, std::byte* scratch) {
  unrolled<kFewInt8Tokens>([&](auto i) __attribute__((always_inline)) {
    if (n_tokens == i + 1) FewTokens<F, i + 1>(w, x, scratch).rows(begin, end, y, y_stride);
  });
  if (n_tokens <= kFewInt8Tokens) return;
  if constexpr (kPanelInRegisters) {
    if (n_tokens <= kTokensOfRuns) {
      return some_int8_rows<F>(w, begin, end, x, n_tokens, y, y_stride, scratch);
    }
  }
  many_int8_rows<F>(w, begin, end, x, n_tokens, y, y_stride, scratch);
}

using Int8Rows = void (*)(const Matrix&, int64_t, int64_t, const std::byte* const*, int64_t, float*,
                          int64_t, std::byte*);

inline Int8Rows int8_rows_of(const Matrix& w) {
  switch (w.format) {
    case Format::affine:
      switch (w.bits) {
        case 2:
          return int8_rows<AffineCodes<2>>;
        case 3:
          return int8_rows<AffineCodes<3>>;
        case 4:
          return int8_rows<AffineCodes<4>>;
        case 5:
          return int8_rows<AffineCodes<5>>;
        case 6:
          return int8_rows<AffineCodes<6>>;
        default:
          return int8_rows<AffineCodes<8>>;
      }
    case Format::mxfp4:
      return int8_rows<MxFp4Codes>;
    case Format::nvfp4:
      return int8_rows<NvFp4Codes>;
    case Format::q4_0:
      return int8_rows<Q4Codes<false>>;
    case Format::q4_1:
      return int8_rows<Q4Codes<true>>;
    case Format::q5_0:
      return int8_rows<Q5Codes<false>>;
    case Format::q5_1:
      return int8_rows<Q5Codes<true>>;
    case Format::q8_0:
      return int8_rows<Q8Codes>;
    case Format::q2_k:
      return int8_rows<Q2KCodes>;
    case Format::q3_k:
      return int8_rows<Q3KCodes>;
    case Format::q4_k:
      return int8_rows<Q4KCodes>;
    case Format::q5_k:
      return int8_rows<Q5KCodes>;
    case Format::q6_k:
      return int8_rows<Q6KCodes>;
    case Format::iq4_nl:
      return int8_rows<Iq4NlCodes>;
    case Format::iq4_xs:
      return int8_rows<Iq4XsCodes>;
    case Format::gguf_mxfp4:
      return int8_rows<GgufMxFp4Codes>;
    case Format::f32:
    case Format::f16:
    case Format::bf16:
    case Format::mxfp8:
      break;
  }
  return nullptr;
}

inline void matmul_int8(const Matrix& w, int64_t row_begin, int64_t row_end,
                        const std::byte* const* x, int64_t n_tokens, float* y, int64_t y_stride,
                        std::byte* scratch) noexcept {
  int8_rows_of(w)(w, row_begin, row_end, x, n_tokens, y, y_stride, scratch);
}

}  // namespace
}  // namespace sluice::kernels
