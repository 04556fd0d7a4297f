#pragma once

#include <cstdint>

namespace sluice::convert {

// Weighted least squares over codes: candidates of a scale, for each the codes nearest to the values, for those the scale (and
// offset) that solves the normal equations; the candidate with the least error stays. n <= 32.

/// How much each value's error counts: importance[j] sqrt(mean(x^2) + x[j]^2), or without importance
/// sqrt(mean(x^2)) + |x[j]|.
void weigh(const float* x, const float* importance, int n, float* weights);

/// d that makes sum w (x - d q)^2 small, q whole from least to most; may be negative. 0 for zeros.
float fit_scale(const float* x, const float* weights, int n, int least, int most);

/// x ~ scale q + offset, q from 0 to the largest code.
struct Line {
  float scale = 0, offset = 0;
};
/// falling: the offset is 0 at most, as K types store it.
Line fit_line(const float* x, const float* weights, int n, int most, bool falling);

/// d that makes sum w (x - d level[q])^2 small, over the 16 levels of iq4_nl.
float fit_levels(const float* x, const float* weights, int n);
/// The level nearest to x: 0 to 15.
uint8_t nearest_level(float x);
float level(uint8_t code);

}  // namespace sluice::convert
