#include "sluice/nn/indexer.h"

#include <cmath>

#include "sluice/base/error.h"
#include "sluice/nn/norm.h"
#include "sluice/ops/elementwise.h"

namespace sluice::nn {

Indexer::Indexer(const Config& c, const IndexConfig& index, int64_t query_width, const Weights& w,
                 Demands& demands)
    : of_query_(linear(w["wq_b"], query_width, index.n_heads * index.head_dim)),
      rope_(index.rope),
      slot_(demands.kept.add_latent(index.head_dim)) {
  if (c.kv.max_size > 0)
    fail(ErrorKind::unsupported,
         "--max-kv-size: {}: this model chooses among all keys; leave it out", w.path());
  demands.kept.selects = true;
  constexpr float kLayerNormEps = 1e-6F;  // the reference's own constant
  constexpr int64_t kMostRuns = 1 << 17;
  of_block_.push_back(linear(w["wk"], c.hidden_size, index.head_dim));
  if (index.summed) of_block_.push_back(linear(w["weights_proj"], c.hidden_size, index.n_heads));
  spec_.n_heads = index.n_heads;
  spec_.head_dim = index.head_dim;
  spec_.summed = index.summed;
  spec_.n_local = index.n_local;
  spec_.shape = {index.summed ? 1 : index.n_heads, index.k, index.unit};
  if (spec_.shape.n_groups * index.k > kMostRuns)
    fail(ErrorKind::bad_model, "{}: chooses {} runs of keys, wanted at most {}", w.path(),
         spec_.shape.n_groups * index.k, kMostRuns);
  spec_.query = {.norm = w["q_norm"]["weight"].optional_vector(index.head_dim),
                 .norm_offset = c.norm_weight_offset,
                 .norm_eps = c.rms_norm_eps,
                 .interleaved = rope_.interleaved()};
  spec_.key = spec_.query;
  spec_.key.norm = nullptr;
  const ops::Vector weight = w["k_norm"]["weight"].optional_vector(index.head_dim);
  if (const ops::Vector bias = w["k_norm"]["bias"].optional_vector(index.head_dim)) {
    key_norm_ = {{.weight = weight,
                  .weight_offset = 0,
                  .eps = kLayerNormEps,
                  .centered = true,
                  .bias = bias}};
  } else {
    spec_.key.norm = weight;
  }
  demands.add_rows(index.n_heads * index.head_dim + 2 * index.head_dim + index.n_heads +
                       spec_.shape.n_groups * index.k,
                   0);
}

ops::Selection Indexer::operator()(const mx::array& query,
                                   std::span<const mx::array> keys_and_weights,
                                   const Step& step) const {
  const ops::Context& context = step.context;
  const mx::array key = key_norm_.empty()
                            ? keys_and_weights[0]
                            : ops::rms_norm(context, keys_and_weights[0], key_norm_[0]);
  std::optional<mx::array> weights;
  if (spec_.summed) {
    const auto scale =
        static_cast<float>(1 / std::sqrt(static_cast<double>(spec_.n_heads * spec_.head_dim)));
    weights = ops::scale(context, keys_and_weights[1], scale);
  }
  return ops::select_runs(context, query, key, weights, rope_.angles(step), spec_,
                          step.layout.layers[slot_], step.kv[step.layout.group_of_layer[slot_]]);
}

}  // namespace sluice::nn
