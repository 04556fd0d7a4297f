#pragma once

// What a table_*.cpp includes after its simd_*.h: every kernel, compiled for that unit.

#include "sluice/kernels/attention/attention_body.h"
#include "sluice/kernels/float/dequantize_body.h"
#include "sluice/kernels/float/elementwise_body.h"
#include "sluice/kernels/float/matmul_body.h"
#include "sluice/kernels/int8/int8_body.h"
#include "sluice/kernels/int8/int8_quantize_body.h"
#include "sluice/kernels/isa/tables.h"

namespace sluice::kernels {
namespace {

constexpr KernelTable make_table(std::string_view isa, bool (*supported)() noexcept) {
  return {.isa = isa,
          .supported = supported,
          .dequantize_row = dequantize_row,
          .matmul = matmul,
          .quantize = quantize,
          .matmul_int8 = matmul_int8,
          .rms_norm = rms_norm,
          .layer_norm = layer_norm,
          .rope = rope,
          .gated = gated,
          .attend = attend,
          .join_part = join_part,
          .finish_part = finish_part,
          .store_kv = store_kv,
          .add_scaled = add_scaled};
}

}  // namespace
}  // namespace sluice::kernels
