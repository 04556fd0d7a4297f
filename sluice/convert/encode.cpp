#include "sluice/convert/encode.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "sluice/convert/half.h"
#include "sluice/io/formats/tensor_index.h"

namespace sluice::convert {

using kernels::Format;
using kernels::Matrix;

namespace {

float rounded(Format type, float x) {
  return type == Format::bf16  ? from_bf16(to_bf16(x))
         : type == Format::f16 ? from_f16(to_f16(x))
                               : x;
}

void put_float(Format type, int64_t index, float x, std::byte* out) {
  if (type == Format::f32) return put(out + 4 * index, x);
  put(out + 2 * index, type == Format::bf16 ? to_bf16(x) : to_f16(x));
}

/// One group: the edge of larger magnitude becomes the bias, and the scale such that zero is a code. Codes come of the
/// unrounded scale and bias, as in mlx.core.quantize.
void encode_affine_group(const Matrix& as, const float* x, int64_t group, const EncodedRow& out) {
  const auto n_steps = static_cast<float>((1 << as.bits) - 1);
  float least = x[0], most = x[0];
  for (int j = 1; j < as.group_size; ++j) {
    least = std::min(least, x[j]);
    most = std::max(most, x[j]);
  }
  const bool low_edge = std::abs(least) > std::abs(most);
  const float step = std::max((most - least) / n_steps, 1e-7F);
  float scale = low_edge ? step : -step, bias = 0;
  const float edge = low_edge ? least : most;
  if (const float steps = std::rint(edge / scale); steps != 0) {
    scale = edge / steps;
    bias = edge;
  }
  std::array<uint8_t, 128> codes;
  for (int j = 0; j < as.group_size; ++j) {
    const float code = std::min(std::max(0.0F, (x[j] - bias) / scale), n_steps);
    codes[static_cast<size_t>(j)] = static_cast<uint8_t>(nearest(code));
  }
  pack_codes(codes.data(), as.group_size, as.bits, out.data + group * as.group_size * as.bits / 8);
  put_float(as.scale_type, group, scale, out.scales);
  put_float(as.scale_type, group, bias, out.biases);
}

/// E2M1, ties to the smaller magnitude; what rounds to zero is +0. As the first of equal distances in mlx.core.quantize.
uint8_t to_e2m1(float x) {
  constexpr std::array<float, 7> kBetween = {0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5.0F};
  const float magnitude = std::abs(x);
  uint8_t code = 0;
  for (const float between : kBetween) code = static_cast<uint8_t>(code + (magnitude > between));
  return code == 0 || !std::signbit(x) ? code : static_cast<uint8_t>(code | 8U);
}

/// E4M3, to the nearest, ties to even; beyond its range the largest.
uint8_t to_e4m3(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), sign = bits >> 24 & 0x80U;
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude >= 0x43E80000U) return static_cast<uint8_t>(sign | 0x7EU);  // 464: half way to 480
  if (magnitude < 0x3C800000U) {  // below 2^-6 in units of 2^-9
    return static_cast<uint8_t>(
        sign | static_cast<uint32_t>(nearest(std::bit_cast<float>(magnitude) * 512)));
  }
  const uint32_t even = magnitude + 0x7FFFFU + (magnitude >> 20 & 1U);
  return static_cast<uint8_t>(sign | ((even - 0x3C000000U) >> 20));
}

float from_e4m3(uint8_t code) {
  const int magnitude = code & 0x7F;
  const float value = magnitude < 8
                          ? static_cast<float>(magnitude) * 0x1p-9F
                          : std::ldexp(static_cast<float>(8 + magnitude % 8), magnitude / 8 - 10);
  return (code & 0x80U) != 0 ? -value : value;
}

float largest_magnitude(const float* x, int n) {
  float most = 0;
  for (int j = 0; j < n; ++j) most = std::max(most, std::abs(x[j]));
  return most;
}

/// mxfp4 and mxfp8: a power of two for each 32, the least that cuts nothing off.
void encode_mx_group(const Matrix& as, const float* x, int64_t group, const EncodedRow& out) {
  const bool is_four = as.format == Format::mxfp4;
  const float share = largest_magnitude(x, 32) / (is_four ? 6.0F : 448.0F);
  const float exponent =
      share > 0 ? std::min(std::max(-127.0F, std::ceil(std::log2(share))), 127.0F) : 0;
  const float power = std::exp2(exponent);
  std::array<uint8_t, 32> codes;
  for (size_t j = 0; j < 32; ++j) {
    const float value = x[j] / power;
    codes[j] = is_four ? to_e2m1(value) : to_e4m3(value);
  }
  const int bits = is_four ? 4 : 8;
  pack_codes(codes.data(), 32, bits, out.data + group * 4 * bits);
  out.scales[group] = static_cast<std::byte>(static_cast<int>(exponent) + 127);
}

/// nvfp4: an E4M3 scale for each 16.
void encode_nv_group(const Matrix& as, const float* x, int64_t group, const EncodedRow& out) {
  const uint8_t code = to_e4m3(rounded(as.scale_type, largest_magnitude(x, 16) / 6.0F));
  const float scale = from_e4m3(code);
  std::array<uint8_t, 16> codes{};
  if (scale > 0) {
    for (size_t j = 0; j < 16; ++j) codes[j] = to_e2m1(rounded(as.scale_type, x[j] / scale));
  }
  pack_codes(codes.data(), 16, 4, out.data + group * 8);
  out.scales[group] = std::byte{code};
}

}  // namespace

void pack_codes(const uint8_t* codes, int64_t n, int bits, std::byte* out) {
  uint64_t held = 0;
  int n_held = 0;
  for (int64_t i = 0; i < n; ++i) {
    held |= uint64_t{codes[i]} << n_held;
    n_held += bits;
    for (; n_held >= 8; n_held -= 8, held >>= 8) *out++ = static_cast<std::byte>(held & 255U);
  }
}

void round_to(Format type, float* x, int64_t n) {
  if (type == Format::f32) return;
  for (int64_t i = 0; i < n; ++i) x[i] = rounded(type, x[i]);
}

void encode_row(const Matrix& as, const float* x, const float* importance, const EncodedRow& out) {
  if (as.format <= Format::bf16) {
    for (int64_t i = 0; i < as.cols; ++i) put_float(as.format, i, x[i], out.data);
    return;
  }
  if (as.group_size == 0) return encode_gguf_row(as.format, x, importance, as.cols, out.data);
  for (int64_t group = 0; group < as.cols / as.group_size; ++group) {
    const float* const begin = x + group * as.group_size;
    if (as.format == Format::affine) {
      encode_affine_group(as, begin, group, out);
    } else if (as.format == Format::nvfp4) {
      encode_nv_group(as, begin, group, out);
    } else {
      encode_mx_group(as, begin, group, out);
    }
  }
}

namespace {

struct Block {
  int64_t columns = 1, bytes = 0;
};

Block block_of(Format format) {
  switch (format) {
#define SLUICE_CASE(name, format, text, dtype, number, elements, bytes) \
  case Format::format:                                                  \
    return {elements, bytes};
    SLUICE_FLOAT_TYPES(SLUICE_CASE)
    SLUICE_GGUF_BLOCKS(SLUICE_CASE)
#undef SLUICE_CASE
    default:
      return {};
  }
}

}  // namespace

Matrix layout_of(Format format, int64_t rows, int64_t cols, int bits, int group_size,
                 Format scale_type) {
  Matrix m;
  m.format = format;
  m.rows = rows;
  m.cols = cols;
  m.scale_type = scale_type;
  if (group_size == 0) {
    const Block block = block_of(format);
    m.row_bytes = cols / block.columns * block.bytes;
    return m;
  }
  m.bits = static_cast<uint8_t>(bits);
  m.group_size = group_size;
  m.row_bytes = cols * bits / 8;
  const int64_t scale_bytes = format == Format::affine ? block_of(scale_type).bytes : 1;
  m.scale_row_bytes = cols / group_size * scale_bytes;
  return m;
}

int64_t block_columns(const Matrix& as) {
  return as.group_size > 0 ? as.group_size : block_of(as.format).columns;
}

}  // namespace sluice::convert
