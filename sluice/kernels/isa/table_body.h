#pragma once

// What a table_*.cpp includes after its set's header: every kernel that has no unit of its own, and the table.

#include "sluice/kernels/attention/attention_coded_body.h"
#include "sluice/kernels/float/elementwise_body.h"
#include "sluice/kernels/int8/int8_quantize_body.h"
#include "sluice/kernels/isa/tables.h"
#include "sluice/kernels/isa/units.h"
#include "sluice/kernels/recurrent/state_body.h"

namespace sluice::kernels {
namespace {

inline void matmul_int8(const Matrix& w, int64_t row_begin, int64_t row_end,
                        const std::byte* const* x, int64_t n_tokens, float* y, int64_t y_stride,
                        std::byte* scratch) noexcept {
  Int8Rows rows = SLUICE_ISA::affine_int8_rows(w);
  if (rows == nullptr) rows = SLUICE_ISA::block_int8_rows(w);
  if (rows == nullptr) rows = SLUICE_ISA::k_int8_rows(w);
  rows(w, row_begin, row_end, x, n_tokens, y, y_stride, scratch);
}

constexpr KernelTable make_table(std::string_view isa, bool (*supported)() noexcept) {
  return {.isa = isa,
          .supported = supported,
          .dequantize_row = SLUICE_ISA::dequantize_row,
          .matmul = SLUICE_ISA::matmul,
          .quantize = quantize,
          .matmul_int8 = matmul_int8,
          .rms_norm = rms_norm,
          .layer_norm = layer_norm,
          .rope = rope,
          .gated = gated,
          .activate = activate,
          .attend = attend,
          .join_part = join_part,
          .finish_part = finish_part,
          .store_kv = store_kv,
          .add_scaled = add_scaled,
          .add_product = add_product,
          .state_step = state_step,
          .code_kv = code_kv,
          .attend_coded = attend_coded};
}

}  // namespace
}  // namespace sluice::kernels
