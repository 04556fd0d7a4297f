// The block types of 256 values: sub-blocks of 16 or 32, whose scales are whole numbers times one or two of the block's.
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "sluice/convert/encode.h"
#include "sluice/convert/fit.h"
#include "sluice/convert/half.h"

namespace sluice::convert {
namespace {

using kernels::Format;

constexpr int kBlock = 256;
/// So often units and codes are fitted to each other, at most.
constexpr int kRounds = 3;
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

/// Of all sub-blocks of n values.
std::array<float, kBlock> weights_of(const float* x, const float* importance, int n) {
  std::array<float, kBlock> weights;
  for (int i = 0; i < kBlock; i += n)
    weigh(x + i, importance != nullptr ? importance + i : nullptr, n, weights.data() + i);
  return weights;
}

/// A block of x ~ d scale_i value(code), scale_i signed.
struct Symmetric {
  uint16_t d = 0;
  ScaleCodes scales{};  ///< -n_scales to n_scales - 1
  Codes codes{};
  float error = INFINITY;  ///< sum of weighted squares
};

/// What a block of this kind is fitted to.
struct SymmetricTask {
  const float* x;
  int n, most_scale;
  std::array<float, kBlock> weights;
  Scales scales{};  ///< of each sub-block by itself
};

/// The best of the whole numbers around each sub-block's own scale, and their codes.
template <typename Encode, typename Value>
Symmetric numbered(const SymmetricTask& task, float unit, const Encode& encode,
                   const Value& value) {
  Symmetric b{.d = to_f16(unit), .error = 0};
  const float d = from_f16(b.d), inverse = d != 0 ? 1 / d : 0;
  Codes codes;
  for (int i = 0; i < kBlock / task.n; ++i) {
    const auto at = static_cast<size_t>(i);
    const int near =
        clamped(task.scales[at] * inverse, -task.most_scale, task.most_scale - 1) - task.most_scale;
    float least = INFINITY;
    for (int s = std::max(-task.most_scale, near - 1); s <= std::min(task.most_scale - 1, near + 1);
         ++s) {
      const float step = d * static_cast<float>(s), inverse_step = step != 0 ? 1 / step : 0;
      float error = 0;
      for (int j = i * task.n; j < (i + 1) * task.n; ++j) {
        const auto k = static_cast<size_t>(j);
        codes[k] = encode(task.x[j] * inverse_step);
        const float off = step * value(codes[k]) - task.x[j];
        error += task.weights[k] * off * off;
      }
      if (error >= least) continue;
      least = error;
      b.scales[at] = s;
      std::copy_n(codes.begin() + i * task.n, task.n, b.codes.begin() + i * task.n);
    }
    b.error += least;
  }
  return b;
}

/// d of least error for these codes.
template <typename Value>
float refit(const SymmetricTask& task, const Symmetric& b, const Value& value) {
  double xq = 0, qq = 0;
  for (size_t j = 0; j < kBlock; ++j) {
    const double q =
        static_cast<float>(b.scales[j / static_cast<size_t>(task.n)]) * value(b.codes[j]);
    xq += task.weights[j] * q * task.x[j];
    qq += task.weights[j] * q * q;
  }
  return qq > 0 ? static_cast<float>(xq / qq) : 0.0F;
}

/// At first the extreme scale is the code of largest magnitude.
template <typename Fit, typename Encode, typename Value>
Symmetric symmetric(const float* x, const float* importance, int n, int most_scale, const Fit& fit,
                    const Encode& encode, const Value& value) {
  SymmetricTask task{
      .x = x, .n = n, .most_scale = most_scale, .weights = weights_of(x, importance, n)};
  float extreme = 0;
  for (int i = 0; i < kBlock / n; ++i) {
    float& scale = task.scales[static_cast<size_t>(i)];
    scale = fit(x + i * n, task.weights.data() + i * n, n);
    if (std::abs(scale) > std::abs(extreme)) extreme = scale;
  }
  Symmetric best = numbered(task, extreme / static_cast<float>(-most_scale), encode, value);
  for (int round = 0; round < kRounds; ++round) {  // the unit follows the codes, codes the unit
    Symmetric found = numbered(task, refit(task, best, value), encode, value);
    if (found.error >= best.error) break;
    best = found;
  }
  return best;
}

Symmetric whole_numbers(const float* x, const float* importance, int zero, int most_scale) {
  return symmetric(
      x, importance, 16, most_scale,
      [=](const float* at, const float* weights, int n) {
        return fit_scale(at, weights, n, -zero, zero - 1);
      },
      [=](float value) { return clamped(value, -zero, zero - 1); },
      [=](uint8_t code) { return static_cast<float>(code - zero); });
}

/// A block of x ~ d scale_i code - dmin minimum_i, nothing negative.
struct WithMinima {
  uint16_t d = 0, dmin = 0;
  ScaleCodes scales{}, minima{};
  Codes codes{};
  float error = INFINITY;  ///< sum of weighted squares
};

/// What a block of this kind is fitted to.
struct MinimaTask {
  const float* x;
  int n, most_code, most_scale;
  std::array<float, kBlock> weights;
  Scales scales{}, minima{};  ///< of each sub-block by itself
};

/// Codes of sub-block i with these whole numbers as scale and minimum, where their error is less than `least`, which it
/// becomes.
void try_numbers(const MinimaTask& task, int i, int scale, int minimum, float& least,
                 WithMinima& b) {
  const float step = from_f16(b.d) * static_cast<float>(scale);
  const float low = from_f16(b.dmin) * static_cast<float>(minimum);
  const float inverse = step > 0 ? 1 / step : 0;
  std::array<uint8_t, 32> codes;
  float error = 0;
  for (int j = 0; j < task.n; ++j) {
    const float x = task.x[i * task.n + j];
    const uint8_t code = clamped((x + low) * inverse, 0, task.most_code);
    codes[static_cast<size_t>(j)] = code;
    const float off = step * static_cast<float>(code) - low - x;
    error += task.weights[static_cast<size_t>(i * task.n + j)] * off * off;
  }
  if (error >= least) return;
  least = error;
  b.scales[static_cast<size_t>(i)] = scale;
  b.minima[static_cast<size_t>(i)] = minimum;
  std::copy_n(codes.begin(), task.n, b.codes.begin() + i * task.n);
}

/// The best of the whole numbers around each sub-block's own scale and minimum, and their codes.
WithMinima numbered(const MinimaTask& task, float d, float dmin) {
  WithMinima b{.d = to_f16(d), .dmin = to_f16(dmin), .error = 0};
  const auto around = [&](float value, uint16_t unit) {
    const float one = from_f16(unit);
    return one > 0 ? static_cast<int>(clamped(value / one, 0, task.most_scale)) : 0;
  };
  for (int i = 0; i < kBlock / task.n; ++i) {
    const int scale = around(task.scales[static_cast<size_t>(i)], b.d);
    const int minimum = around(task.minima[static_cast<size_t>(i)], b.dmin);
    float least = INFINITY;
    for (int s = std::max(0, scale - 1); s <= std::min(task.most_scale, scale + 1); ++s) {
      for (int m = std::max(0, minimum - 1); m <= std::min(task.most_scale, minimum + 1); ++m)
        try_numbers(task, i, s, m, least, b);
    }
    b.error += least;
  }
  return b;
}

/// d and dmin of least error for these codes.
std::pair<float, float> refit(const MinimaTask& task, const WithMinima& b) {
  double aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;
  for (size_t j = 0; j < kBlock; ++j) {
    const size_t i = j / static_cast<size_t>(task.n);
    const double w = task.weights[j], up = b.scales[i] * b.codes[j], down = -b.minima[i];
    aa += w * up * up;
    ab += w * up * down;
    bb += w * down * down;
    ax += w * up * task.x[j];
    bx += w * down * task.x[j];
  }
  const double determinant = aa * bb - ab * ab;
  if (determinant <= 1e-9 * aa * bb) return {aa > 0 ? static_cast<float>(ax / aa) : 0.0F, 0.0F};
  return {static_cast<float>((ax * bb - bx * ab) / determinant),
          static_cast<float>((aa * bx - ab * ax) / determinant)};
}

WithMinima with_minima(const float* x, const float* importance, int n, int most_code,
                       int most_scale) {
  MinimaTask task{.x = x,
                  .n = n,
                  .most_code = most_code,
                  .most_scale = most_scale,
                  .weights = weights_of(x, importance, n)};
  for (int i = 0; i < kBlock / n; ++i) {
    const Line line = fit_line(x + i * n, task.weights.data() + i * n, n, most_code, true);
    task.scales[static_cast<size_t>(i)] = line.scale;
    task.minima[static_cast<size_t>(i)] = -line.offset;
  }
  const auto most = static_cast<float>(most_scale);
  WithMinima best = numbered(task, *std::ranges::max_element(task.scales) / most,
                             *std::ranges::max_element(task.minima) / most);
  for (int round = 0; round < kRounds; ++round) {  // units follow the codes, codes the units
    const auto [d, dmin] = refit(task, best);
    if (!(d > 0) || !(dmin >= 0)) break;
    WithMinima found = numbered(task, d, dmin);
    if (found.error >= best.error) break;
    best = found;
  }
  return best;
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
  const Symmetric s = symmetric(x, importance, 32, 32, fit_levels, nearest_level, level);
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
