#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sluice/kernels/matrix.h"

namespace sluice::convert {

/// Where an encoded row goes. scales and biases: of MLX's formats that have them.
struct EncodedRow {
  std::byte* data = nullptr;
  std::byte* scales = nullptr;
  std::byte* biases = nullptr;
};

/// Encodes the `cols` values of one row as `as` says: its format, bits, group_size and scale_type. x was rounded to
/// as.scale_type before. importance: [cols], the mean square of what each column is multiplied with, or null; only GGUF's block types
/// heed it. NaN gives some code; nothing else depends on it.
/// Floats and mx.quantize's formats have the bits of mlx.core.quantize on a CPU, q4_0 to q8_0 those of ggml's reference
/// (without importance), the others are fitted by least squares (fit.h).
void encode_row(const kernels::Matrix& as, const float* x, const float* importance,
                const EncodedRow& out);

/// MLX's packing: n codes of `bits` bits, the least significant bit first; n * bits is a multiple of 8.
void pack_codes(const uint8_t* codes, int64_t n, int bits, std::byte* out);

/// x[n] rounded to a float type, to the nearest and ties to even.
void round_to(kernels::Format type, float* x, int64_t n);

/// A matrix of `cols` columns in a format: `row_bytes` and `scale_row_bytes` follow. group_size and bits are of MLX's formats.
kernels::Matrix layout_of(kernels::Format format, int64_t rows, int64_t cols, int bits = 0,
                          int group_size = 0, kernels::Format scale_type = kernels::Format::f32);

/// The values of a row that a block of the format holds; a row has a whole number of them.
int64_t block_columns(const kernels::Matrix& as);

/// One row of GGUF's blocks. Whole blocks.
void encode_gguf_row(kernels::Format format, const float* x, const float* importance, int64_t cols,
                     std::byte* out);
/// The part of it that has 256 values a block.
void encode_k_row(kernels::Format format, const float* x, const float* importance, int64_t cols,
                  std::byte* out);

}  // namespace sluice::convert
