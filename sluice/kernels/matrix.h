#pragma once

#include <cstddef>
#include <cstdint>

#include "sluice/io/formats/tensor_types.h"

namespace sluice::kernels {

/// How a weight matrix is stored. MLX formats keep packed values, scales (and biases) apart; GGUF
/// formats interleave them in blocks along a row.
enum class Format : uint8_t {
  f32,
  f16,
  bf16,
  affine,  // MLX: LSB-first bitstream per row; w = q * scale + bias per group
  mxfp4,
  nvfp4,
  mxfp8,  // MLX: E2M1 / E2M1 / E4M3 elements; uint8 scales (E8M0, E4M3, E8M0), no bias
#define SLUICE_FORMAT(name, format, ...) format,
  SLUICE_GGUF_BLOCKS(SLUICE_FORMAT)
#undef SLUICE_FORMAT
};

/// Whether the weights are integers times scales, which 8-bit activations can be multiplied with.
constexpr bool has_int8(Format format) {
  return format >= Format::affine && format != Format::mxfp8;
}

/// A weight matrix [rows, cols] in memory. POD: crosses into the instruction-set units.
/// Row r's packed values start at data + r * row_bytes; its scales (biases) at
/// scales (biases) + r * scale_row_bytes. Strides let a view take every second row, or some rows only.
/// Nothing is aligned beyond one byte.
struct Matrix {
  Format format = Format::f32;
  Format scale_type = Format::f32;  ///< affine: element type of scales and biases (f32, f16, bf16)
  uint8_t bits = 0;                 ///< affine: 2, 3, 4, 5, 6 or 8
  int32_t group_size = 0;           ///< MLX formats: elements that share a scale
  float global_scale = 1.0F;        ///< nvfp4: multiplies every scale; MLX's global_scale / 2688
  int64_t rows = 0;
  int64_t cols = 0;
  const std::byte* data = nullptr;
  const std::byte* scales = nullptr;
  const std::byte* biases = nullptr;
  int64_t row_bytes = 0;
  int64_t scale_row_bytes = 0;
};

}  // namespace sluice::kernels
