// The block types of 256 values: sub-blocks of 16 or 32, whose scales are whole numbers times one or two of the block's.
#include <algorithm>
#include <array>
#include <cmath>

#include "sluice/convert/encode.h"
#include "sluice/convert/fit.h"
#include "sluice/convert/half.h"

namespace sluice::convert {
namespace {

using kernels::Format;

constexpr int kBlock = 256;
using Codes = std::array<uint8_t, kBlock>;
/// Of up to 16 sub-blocks.
using Scales = std::array<float, 16>;
using ScaleCodes = std::array<int, 16>;

uint8_t clamped(float x, int least, int most) {
  const auto low = static_cast<float>(least), high = static_cast<float>(most);
  return static_cast<uint8_t>(nearest(std::min(std::max(low, x), high)) - least);
}

std::byte byte_of(int x) { return static_cast<std::byte>(x & 255); }
void add_bits(std::byte& at, int x) { at |= byte_of(x); }

struct Weighed {
  std::array<float, 32> weights;
  Weighed(const float* x, const float* importance, int begin, int n) {
    weigh(x + begin, importance != nullptr ? importance + begin : nullptr, n, weights.data());
  }
};

/// A block of x ~ d scale_i (code - zero), scale_i signed.
struct Symmetric {
  uint16_t d = 0;
  ScaleCodes scales{};  ///< -n_scales to n_scales - 1
  Codes codes{};
};

/// Scales become multiples of one d, so that the extreme one is the code of largest magnitude.
template <typename Fit, typename Encode>
Symmetric symmetric(const float* x, const float* importance, int n, int most_scale, const Fit& fit,
                    const Encode& encode) {
  Symmetric s;
  Scales scales{};
  float extreme = 0;
  for (int i = 0; i < kBlock / n; ++i) {
    const Weighed weighed(x, importance, i * n, n);
    float& scale = scales[static_cast<size_t>(i)];
    scale = fit(x + i * n, weighed.weights.data(), n);
    if (std::abs(scale) > std::abs(extreme)) extreme = scale;
  }
  s.d = to_f16(extreme / static_cast<float>(-most_scale));
  const float d = from_f16(s.d), inverse = d != 0 ? 1 / d : 0;
  for (int i = 0; i < kBlock / n; ++i) {
    const auto at = static_cast<size_t>(i);
    s.scales[at] = clamped(scales[at] * inverse, -most_scale, most_scale - 1) - most_scale;
    const float step = d * static_cast<float>(s.scales[at]);
    for (int j = i * n; j < (i + 1) * n; ++j)
      s.codes[static_cast<size_t>(j)] = encode(step != 0 ? x[j] / step : 0);
  }
  return s;
}

Symmetric whole_numbers(const float* x, const float* importance, int zero, int most_scale) {
  return symmetric(
      x, importance, 16, most_scale,
      [=](const float* at, const float* weights, int n) {
        return fit_scale(at, weights, n, -zero, zero - 1);
      },
      [=](float value) { return clamped(value, -zero, zero - 1); });
}

/// A block of x ~ d scale_i code - dmin minimum_i, nothing negative.
struct WithMinima {
  uint16_t d = 0, dmin = 0;
  ScaleCodes scales{}, minima{};
  Codes codes{};
};

WithMinima with_minima(const float* x, const float* importance, int n, int most_code,
                       int most_scale) {
  WithMinima b;
  Scales scales{}, minima{};
  for (int i = 0; i < kBlock / n; ++i) {
    const Weighed weighed(x, importance, i * n, n);
    const Line line = fit_line(x + i * n, weighed.weights.data(), n, most_code, true);
    scales[static_cast<size_t>(i)] = line.scale;
    minima[static_cast<size_t>(i)] = -line.offset;
  }
  b.d = to_f16(*std::ranges::max_element(scales) / static_cast<float>(most_scale));
  b.dmin = to_f16(*std::ranges::max_element(minima) / static_cast<float>(most_scale));
  const float d = from_f16(b.d), dmin = from_f16(b.dmin);
  for (int i = 0; i < kBlock / n; ++i) {
    const auto at = static_cast<size_t>(i);
    b.scales[at] = d > 0 ? clamped(scales[at] / d, 0, most_scale) : 0;
    b.minima[at] = dmin > 0 ? clamped(minima[at] / dmin, 0, most_scale) : 0;
    const float step = d * static_cast<float>(b.scales[at]);
    const float minimum = dmin * static_cast<float>(b.minima[at]);
    for (int j = i * n; j < (i + 1) * n; ++j) {
      const float code = step > 0 ? (x[j] + minimum) / step : 0;
      b.codes[static_cast<size_t>(j)] = clamped(code, 0, most_code);
    }
  }
  return b;
}

/// Sub-blocks of 16 are laid out by halves of the block: in each, pairs of them share 32 bytes.
struct Place {
  size_t half, pair, byte;  ///< byte: 0 to 31
};
Place place_of(size_t j) { return {j / 128, j % 128 / 32, j % 32}; }

void encode_q2(const float* x, const float* importance, std::byte* out) {
  const WithMinima b = with_minima(x, importance, 16, 3, 15);
  std::fill_n(out, 80, std::byte{0});
  for (size_t i = 0; i < 16; ++i) out[i] = byte_of(b.scales[i] | b.minima[i] << 4);
  for (size_t j = 0; j < kBlock; ++j) {
    const Place p = place_of(j);
    add_bits(out[16 + 32 * p.half + p.byte], b.codes[j] << 2 * p.pair);
  }
  put(out + 80, b.d);
  put(out + 82, b.dmin);
}

void encode_q3(const float* x, const float* importance, std::byte* out) {
  const Symmetric s = whole_numbers(x, importance, 4, 32);
  std::fill_n(out, 108, std::byte{0});
  for (size_t j = 0; j < kBlock; ++j) {
    const Place p = place_of(j);
    add_bits(out[p.byte], (s.codes[j] >> 2) << (4 * p.half + p.pair));
    add_bits(out[32 + 32 * p.half + p.byte], (s.codes[j] & 3) << 2 * p.pair);
  }
  for (size_t i = 0; i < 16; ++i) {
    const int code = s.scales[i] + 32;
    add_bits(out[96 + i % 8], (code & 15) << (4 * (i / 8)));
    add_bits(out[104 + i % 4], code >> 4 << (2 * (i / 4)));
  }
  put(out + 108, s.d);
}

/// q4_k and q5_k: 6-bit scales and minima of eight sub-blocks in 12 bytes.
void put_k_scales(const WithMinima& b, std::byte* out) {
  for (size_t i = 0; i < 4; ++i) {
    out[i] = byte_of(b.scales[i] | b.scales[i + 4] >> 4 << 6);
    out[4 + i] = byte_of(b.minima[i] | b.minima[i + 4] >> 4 << 6);
    out[8 + i] = byte_of((b.scales[i + 4] & 15) | (b.minima[i + 4] & 15) << 4);
  }
}

void encode_q4_or_q5(const float* x, const float* importance, bool five, std::byte* out) {
  const WithMinima b = with_minima(x, importance, 32, five ? 31 : 15, 63);
  put(out, b.d);
  put(out + 2, b.dmin);
  put_k_scales(b, out + 4);
  out += 16;
  std::fill_n(out, five ? 160 : 128, std::byte{0});
  std::byte* const low = five ? out + 32 : out;
  for (size_t j = 0; j < kBlock; ++j) {
    const size_t i = j / 32, l = j % 32;
    add_bits(low[i / 2 * 32 + l], (b.codes[j] & 15) << (4 * (i % 2)));
    if (five) add_bits(out[l], (b.codes[j] >> 4) << i);
  }
}

void encode_q6(const float* x, const float* importance, std::byte* out) {
  const Symmetric s = whole_numbers(x, importance, 32, 128);
  std::fill_n(out, 192, std::byte{0});
  for (size_t j = 0; j < kBlock; ++j) {
    const size_t half = j / 128, k = j % 128 / 16, l = j % 16;
    add_bits(out[64 * half + 16 * (k % 4) + l], (s.codes[j] & 15) << (4 * (k / 4)));
    add_bits(out[128 + 32 * half + 16 * (k % 2) + l], (s.codes[j] >> 4) << (2 * (k / 2)));
  }
  for (size_t i = 0; i < 16; ++i) out[192 + i] = byte_of(s.scales[i]);
  put(out + 208, s.d);
}

void encode_iq4_xs(const float* x, const float* importance, std::byte* out) {
  const Symmetric s = symmetric(x, importance, 32, 32, fit_levels, nearest_level);
  std::fill_n(out, 136, std::byte{0});
  put(out, s.d);
  for (size_t i = 0; i < 8; ++i) {
    const int code = s.scales[i] + 32;
    add_bits(out[2 + i / 4], code >> 4 << (2 * (i % 4)));
    add_bits(out[4 + i / 2], (code & 15) << (4 * (i % 2)));
    for (size_t l = 0; l < 16; ++l)
      out[8 + 16 * i + l] = byte_of(s.codes[32 * i + l] | s.codes[32 * i + l + 16] << 4);
  }
}

}  // namespace

void encode_k_row(Format format, const float* x, const float* importance, int64_t cols,
                  std::byte* out) {
  const int64_t bytes = layout_of(format, 1, kBlock).row_bytes;
  for (int64_t begin = 0; begin < cols; begin += kBlock, out += bytes) {
    const float* const at = importance != nullptr ? importance + begin : nullptr;
    switch (format) {
      case Format::q2_k:
        encode_q2(x + begin, at, out);
        break;
      case Format::q3_k:
        encode_q3(x + begin, at, out);
        break;
      case Format::q6_k:
        encode_q6(x + begin, at, out);
        break;
      case Format::iq4_xs:
        encode_iq4_xs(x + begin, at, out);
        break;
      default:
        encode_q4_or_q5(x + begin, at, format == Format::q5_k, out);
    }
  }
}

}  // namespace sluice::convert
