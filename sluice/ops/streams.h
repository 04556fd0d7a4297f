#pragma once

#include <mlx/array.h>

#include <vector>

#include "sluice/ops/context.h"
#include "sluice/ops/vector.h"

// Residuals of more than one stream: AltUp's (Baykal et al. 2023, arXiv:2301.13310), those of hyper-connections (Zhu et al. 2024,
// arXiv:2409.19606), and sums of blocks of layers that a token attends to.
namespace sluice::ops {

/// Streams side by side in a row: [T, n * width].
struct Streams {
  int64_t n = 0, width = 0;
  int64_t active = 0;  ///< the one that goes through the layer
};

/// x_i + sum_j tanh(modalities) coefficients[i n + j] x_j for each stream i. modalities: [T, n]; coefficients: [n n, n].
mx::array predict_streams(const Context& context, const mx::array& x, const mx::array& modalities,
                          const Vector& coefficients, const Streams& streams);

/// x_i + (y - x_active) (1 + tanh(modalities) coefficients[i]). y: [T, width]; coefficients: [n, n].
mx::array correct_streams(const Context& context, const mx::array& x, const mx::array& y,
                          const mx::array& modalities, const Vector& coefficients,
                          const Streams& streams);

/// y added to each stream but the first.
mx::array add_to_later_streams(const Context& context, const mx::array& x, const mx::array& y,
                               const Streams& streams);

/// Each later stream scaled so that its root mean square is the first's.
mx::array match_magnitudes(const Context& context, const mx::array& x, const Streams& streams);

/// The mean of the streams: [T, width].
mx::array mean_stream(const Context& context, const mx::array& x, const Streams& streams);

/// How hyper-connections mix n streams. A token's mix has what multiplies each stream to be summed for a block's input, then what
/// multiplies the block's result for each, then for each stream [i] what of it goes to each [j]; the last is made doubly
/// stochastic (Sinkhorn & Knopp 1967; DeepSeek's manifold-constrained hyper-connections, arXiv:2512.24880).
struct HyperSpec {
  int64_t iterations = 0;
  float eps = 0;
  Vector scale;  ///< [3], of the three parts
  Vector base;   ///< [2 n + n n]
};

/// The mixes of what was projected from all streams. projected: [T, 2 n + n n].
mx::array hyper_mix(const Context& context, const mx::array& projected, const HyperSpec& spec,
                    const Streams& streams);

/// What a block gets: [T, width].
mx::array collapse_streams(const Context& context, const mx::array& x, const mx::array& mix,
                           const Streams& streams);

/// The streams after a block that gave y: [T, width].
mx::array expand_streams(const Context& context, const mx::array& x, const mx::array& y,
                         const mx::array& mix, const Streams& streams);

/// gelu_tanh(max(0, gate - bound)) * up, where a row's bound is its mean and `cutoff` times its standard deviation
/// (Gemma 3n). gate, up: [T, N].
mx::array sparse_gelu(const Context& context, const mx::array& gate, const mx::array& up,
                      float cutoff);

/// Attention over residuals (Kimi K3): the sum of those, each by its part of a softmax of (x . w) / rms(x). of: [T, N] each; w: [N].
mx::array attend_residuals(const Context& context, std::vector<mx::array> of, const Vector& w,
                           float eps);

}  // namespace sluice::ops
