// The block types of 32 values: bits of ggml's reference where its rule is plain rounding.
#include <algorithm>
#include <array>
#include <cmath>

#include "sluice/convert/encode.h"
#include "sluice/convert/fit.h"
#include "sluice/convert/half.h"
#include "sluice/io/formats/tensor_types.h"

namespace sluice::convert {
namespace {

using kernels::Format;

constexpr int kBlock = 32;
using Codes = std::array<uint8_t, kBlock>;

/// The value of largest magnitude, with its sign; the first of equals.
float extreme(const float* x) {
  float found = 0, magnitude = 0;
  for (int j = 0; j < kBlock; ++j) {
    if (std::abs(x[j]) > magnitude) {
      magnitude = std::abs(x[j]);
      found = x[j];
    }
  }
  return found;
}

/// The whole part from 0 to most; NaN is 0.
uint8_t cut(float x, int most) {
  return static_cast<uint8_t>(std::min(std::max(0.0F, x), static_cast<float>(most)));
}

/// Codes j and j + 16 share a byte; the fifth bits, where there are, stand before.
void put_nibbles(const Codes& codes, bool five, std::byte* out) {
  if (five) {
    uint32_t high = 0;
    for (uint32_t j = 0; j < kBlock; ++j) high |= (codes[j] >> 4 & 1U) << j;
    put(out, high);
    out += 4;
  }
  for (size_t j = 0; j < 16; ++j)
    out[j] = static_cast<std::byte>((codes[j] & 15U) | (codes[j + 16] & 15U) << 4);
}

/// The scale d of codes -zero to zero - 1, chosen by importance, or such that the extreme is code -zero.
float symmetric_scale(const float* x, const float* importance, int zero) {
  if (importance == nullptr) return extreme(x) / static_cast<float>(-zero);
  std::array<float, kBlock> weights;
  weigh(x, importance, kBlock, weights.data());
  return fit_scale(x, weights.data(), kBlock, -zero, zero - 1);
}

void encode_symmetric(const float* x, const float* importance, bool five, std::byte* out) {
  const int zero = five ? 16 : 8;
  const float d = symmetric_scale(x, importance, zero);
  const float inverse = d != 0 ? 1 / d : 0;
  Codes codes;
  for (size_t j = 0; j < kBlock; ++j) {  // + 0.5 and cut, not to the nearest even: ggml's rule
    codes[j] = cut(x[j] * inverse + (static_cast<float>(zero) + 0.5F), 2 * zero - 1);
  }
  put(out, to_f16(d));
  put_nibbles(codes, five, out + 2);
}

void encode_with_minimum(const float* x, const float* importance, bool five, std::byte* out) {
  const int most_code = five ? 31 : 15;
  const auto [least, most] = std::minmax_element(x, x + kBlock);
  Line line{(*most - *least) / static_cast<float>(most_code), *least};
  if (importance != nullptr) {
    std::array<float, kBlock> weights;
    weigh(x, importance, kBlock, weights.data());
    line = fit_line(x, weights.data(), kBlock, most_code, false);
  }
  const float inverse = line.scale != 0 ? 1 / line.scale : 0;
  Codes codes;
  for (size_t j = 0; j < kBlock; ++j) {
    codes[j] = cut((x[j] - line.offset) * inverse + 0.5F, most_code);
  }
  put(out, to_f16(line.scale));
  put(out + 2, to_f16(line.offset));
  put_nibbles(codes, five, out + 4);
}

/// Ties away from zero, as C's round.
void encode_q8(const float* x, std::byte* out) {
  const float d = std::abs(extreme(x)) / 127;
  const float inverse = d != 0 ? 1 / d : 0;
  put(out, to_f16(d));
  for (int j = 0; j < kBlock; ++j)
    out[2 + j] =
        static_cast<std::byte>(std::lround(std::min(127.0F, std::max(-127.0F, x[j] * inverse))));
}

void encode_iq4_nl(const float* x, const float* importance, std::byte* out) {
  std::array<float, kBlock> weights;
  weigh(x, importance, kBlock, weights.data());
  const float d = from_f16(to_f16(fit_levels(x, weights.data(), kBlock)));
  Codes codes;
  for (size_t j = 0; j < kBlock; ++j) codes[j] = nearest_level(d != 0 ? x[j] / d : 0);
  put(out, to_f16(d));
  put_nibbles(codes, false, out + 2);
}

}  // namespace

void encode_gguf_row(Format format, const float* x, const float* importance, int64_t cols,
                     std::byte* out) {
  if (format >= Format::q2_k && format != Format::iq4_nl)
    return encode_k_row(format, x, importance, cols, out);
  for (int64_t begin = 0; begin < cols; begin += kBlock) {
    const float* const at = importance != nullptr ? importance + begin : nullptr;
    switch (format) {
      case Format::q4_0:
      case Format::q5_0:
        encode_symmetric(x + begin, at, format == Format::q5_0, out);
        out += format == Format::q5_0 ? 22 : 18;
        break;
      case Format::q4_1:
      case Format::q5_1:
        encode_with_minimum(x + begin, at, format == Format::q5_1, out);
        out += format == Format::q5_1 ? 24 : 20;
        break;
      case Format::q8_0:
        encode_q8(x + begin, out);
        out += 34;
        break;
      default:
        encode_iq4_nl(x + begin, at, out);
        out += 18;
    }
  }
}

}  // namespace sluice::convert
