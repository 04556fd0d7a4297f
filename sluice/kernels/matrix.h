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
  fp8,     // E4M3 elements; float32 scales per group_size columns, a power of two; cols: of 16
  affine,  // MLX: LSB-first bitstream per row; w = q * scale + bias per group
  mxfp4,
  nvfp4,
  mxfp8,   // MLX: E2M1 / E2M1 / E4M3 elements; uint8 scales (E8M0, E4M3, E8M0), no bias
  codes8,  // bytes; w = (code - 64) * scale, float32 scales per group_size (16 or 32) columns
#define SLUICE_FORMAT(name, format, ...) format,
  SLUICE_GGUF_BLOCKS(SLUICE_FORMAT)
#undef SLUICE_FORMAT
};

/// Whether the weights are integers times scales, which 8-bit activations can be multiplied with.
constexpr bool has_int8(Format format) {
  return format >= Format::affine && format != Format::mxfp8;
}

/// How a matrix of others than MLX and GGUF lies, w = (code - zero) scale. No kernel reads it so: they get it in strips
/// (strips.h), in the matrix's format.
struct Packing {
  enum class Codes : uint8_t {
    as_format,    ///< not packed: all of this says nothing
    rows,         ///< row by row, LSB first: `bits` each, or E4M3
    signed_rows,  ///< row by row, int8
    columns,      ///< [cols * bits / 32, all_rows] words: LSB first down a column (GPTQ)
    awq,  ///< [cols, all_rows / 8] words of eight rows' 4-bit codes: rows 0, 2, 4, 6, 1, 3, 5, 7
    quarters,  ///< [all_rows / 4, cols] bytes of four rows' 2-bit codes: row r of each quarter, the first lowest (BitNet)
    transposed,  ///< [cols, all_rows] floats: no scales
  };
  enum class Zeros : uint8_t {
    constant,
    signed_rows,  ///< int8 [all_rows, groups]
    down,         ///< [all_rows * bits / 32, groups] words, LSB first down a column
    along,        ///< [groups, all_rows * bits / 32] words, LSB first along a row
    awq,          ///< `along`, eight rows in the order of Codes::awq
  };
  Codes codes = Codes::as_format;
  Zeros zeros = Zeros::constant;
  bool scales_by_group =
      false;         ///< scales are [groups, all_rows], not [all_rows / rows_per_scale, groups]
  int32_t zero = 0;  ///< where it is constant; else added to what is stored, modulo 2^bits
  int64_t rows_per_scale = 1;
  int64_t all_rows = 0, first_row = 0, row_step = 1;  ///< of all rows, the matrix has some
  int64_t scale_bytes = 0, zero_bytes = 0;            ///< of all rows
  const int32_t* group_of = nullptr;                  ///< [cols], or null: column / group_size
};

/// A weight matrix [rows, cols] in memory. POD: crosses into the instruction-set units.
/// Row r's packed values start at data + r * row_bytes; its scales (biases) at
/// scales (biases) + r * scale_row_bytes. Strides let a view take every second row, or some rows only.
/// Nothing is aligned beyond one byte; a kernel may read what lies between and after rows, up to the last row's end.
struct Matrix {
  Format format = Format::f32;
  Format scale_type = Format::f32;  ///< affine: element type of scales and biases (f32, f16, bf16)
  uint8_t bits = 0;                 ///< affine: 2, 3, 4, 5, 6 or 8
  int32_t group_size = 0;           ///< elements that share a scale, where scales lie apart
  float global_scale =
      1.0F;  ///< nvfp4 and packed ones: multiplies every scale; MLX's global_scale / 2688
  int64_t rows = 0;
  int64_t cols = 0;
  const std::byte* data = nullptr;
  const std::byte* scales = nullptr;
  const std::byte* biases = nullptr;
  int64_t row_bytes = 0;
  int64_t scale_row_bytes = 0;
  Packing
      packing;  ///< where it is packed, data, scales and biases (its zeros) are those of all rows
};

constexpr bool is_packed(const Matrix& m) { return m.packing.codes != Packing::Codes::as_format; }

/// Whether something lies at m.biases.
constexpr bool has_biases(const Matrix& m) {
  return is_packed(m) ? m.packing.zeros != Packing::Zeros::constant : m.format == Format::affine;
}

/// The count rows begin, begin + step, ... of a packed matrix.
constexpr void select_packed_rows(Matrix& m, int64_t begin, int64_t count, int64_t step) {
  m.packing.first_row += begin * m.packing.row_step;
  m.packing.row_step *= step;
  m.rows = count;
}

}  // namespace sluice::kernels
