#include "sluice/convert/fit.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "sluice/convert/half.h"

namespace sluice::convert {
namespace {

constexpr int kMost = 32;
constexpr std::array<float, 16> kLevels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                           1,    13,   25,  38,  53,  69,  89,  113};

/// The value of largest magnitude, with its sign.
float extreme(const float* x, int n) {
  return *std::max_element(x, x + n, [](float a, float b) { return std::abs(a) < std::abs(b); });
}

/// What codes q explain of x: the best scale for them, and by how much the error falls with it.
struct Explained {
  float scale = 0, gain = 0;
};

template <typename CodeOf>
Explained explain(const float* x, const float* weights, int n, float inverse, CodeOf code_of) {
  float xq = 0, qq = 0;
  for (int j = 0; j < n; ++j) {
    const float q = code_of(x[j] * inverse);
    xq += weights[j] * x[j] * q;
    qq += weights[j] * q * q;
  }
  return qq > 0 ? Explained{xq / qq, xq * xq / qq} : Explained{};
}

/// Tries scales around extreme / end and its negative, then lets codes and scale follow each other while that helps.
template <typename CodeOf>
float best_scale(const float* x, const float* weights, int n, float end, CodeOf code_of) {
  constexpr int kTries = 9;
  const float edge = extreme(x, n), spread = std::max(0.0125F, 0.1F / std::abs(end));
  if (!(std::abs(edge) > 1e-30F)) return 0;
  Explained best;
  for (const float side : {end, -end}) {  // codes reach further on one
    for (int attempt = -kTries; attempt <= kTries; ++attempt) {
      const float inverse = side * (1 + spread * static_cast<float>(attempt)) / edge;
      const Explained found = explain(x, weights, n, inverse, code_of);
      if (found.gain > best.gain) best = found;
    }
  }
  for (int round = 0; round < 4 && best.scale != 0; ++round) {
    const Explained found = explain(x, weights, n, 1 / best.scale, code_of);
    if (found.gain <= best.gain) break;
    best = found;
  }
  return best.scale;
}

/// The line of least error through the codes that `scale` and `offset` give, and that error.
struct Fitted {
  Line line;
  float error = 0;
};

Fitted refit(const float* x, const float* weights, int n, int most, bool falling,
             const Line& from) {
  std::array<float, kMost> q;
  const float inverse = from.scale > 0 ? 1 / from.scale : 0, top = static_cast<float>(most);
  float w = 0, wq = 0, wqq = 0, wx = 0, wxq = 0;
  for (int j = 0; j < n; ++j) {
    const auto at = static_cast<size_t>(j);
    const float exact = std::min(std::max(0.0F, (x[j] - from.offset) * inverse), top);
    q[at] = static_cast<float>(nearest(exact));
    w += weights[j];
    wq += weights[j] * q[at];
    wqq += weights[j] * q[at] * q[at];
    wx += weights[j] * x[j];
    wxq += weights[j] * x[j] * q[at];
  }
  Line line = from;
  if (const float determinant = w * wqq - wq * wq; determinant > 0) {
    line = {(w * wxq - wx * wq) / determinant, (wqq * wx - wq * wxq) / determinant};
    if (falling && line.offset > 0) line = {wqq > 0 ? wxq / wqq : 0, 0};
  }
  float error = 0;
  for (int j = 0; j < n; ++j) {
    const float off = line.scale * q[static_cast<size_t>(j)] + line.offset - x[j];
    error += weights[j] * off * off;
  }
  return {line, error};
}

}  // namespace

void weigh(const float* x, const float* importance, int n, float* weights) {
  float squares = 0;
  for (int j = 0; j < n; ++j) squares += x[j] * x[j];
  const float mean = squares / static_cast<float>(n), root = std::sqrt(mean);
  for (int j = 0; j < n; ++j) {
    weights[j] = importance != nullptr ? importance[j] * std::sqrt(2 * mean + x[j] * x[j])
                                       : root + std::abs(x[j]);
  }
}

float fit_scale(const float* x, const float* weights, int n, int least, int most) {
  const auto low = static_cast<float>(least), high = static_cast<float>(most);
  return best_scale(x, weights, n, low, [=](float value) {
    return static_cast<float>(nearest(std::min(std::max(low, value), high)));
  });
}

Line fit_line(const float* x, const float* weights, int n, int most, bool falling) {
  constexpr int kTries = 10;
  const auto [low, high] = std::minmax_element(x, x + n);
  const float offset = falling ? std::min(*low, 0.0F) : *low;
  const float range = *high - offset;
  if (!(range > 1e-30F)) return {0, offset};
  Fitted best{{range / static_cast<float>(most), offset}, INFINITY};
  for (int attempt = -kTries; attempt <= kTries; ++attempt) {
    const float steps = static_cast<float>(most) * (1 + 0.035F * static_cast<float>(attempt));
    Line line{range / steps, offset};
    for (int round = 0; round < 2; ++round) {  // codes follow the line, the line its codes
      const Fitted found = refit(x, weights, n, most, falling, line);
      if (found.line.scale > 0 && found.error < best.error) best = found;
      line = found.line;
    }
  }
  return best.line;
}

uint8_t nearest_level(float x) {
  const auto above = std::ranges::lower_bound(kLevels, x);
  if (above == kLevels.begin()) return 0;
  const auto index = static_cast<uint8_t>(above - kLevels.begin());
  if (above == kLevels.end()) return 15;
  return x - *(above - 1) < *above - x ? static_cast<uint8_t>(index - 1) : index;
}

float level(uint8_t code) { return kLevels[code]; }

float fit_levels(const float* x, const float* weights, int n) {
  return best_scale(x, weights, n, kLevels[0],
                    [](float value) { return kLevels[nearest_level(value)]; });
}

}  // namespace sluice::convert
