#include "sluice/nn/compressed_attention.h"

#include <algorithm>
#include <cmath>

#include "sluice/ops/compression.h"
#include "sluice/ops/elementwise.h"

namespace sluice::nn {
namespace {

ops::HeadTransform transform_to(ops::Rounding rounding) {
  return {.interleaved = true, .rotates_end = true, .rounding = rounding};
}

RopeConfig with(RopeConfig rope, int64_t stride, bool inverse) {
  rope.stride = stride;
  rope.inverse = inverse;
  return rope;
}

ops::Norm load_norm(const Config& c, const Weights& w, int64_t n) {
  return {.weight = w["weight"].vector(n), .eps = c.rms_norm_eps};
}

/// A matrix for each group of heads; as published they stand below each other.
ops::PerHead load_groups(const CompressedAttentionConfig& a, const Weights& w) {
  const int64_t n = a.n_output_groups, in = a.n_heads * a.head_dim / n;
  const bool is_stack = w.shape().size() == 3;
  return {.weight = is_stack ? w.matrices(n, a.o_lora_rank, in) : w.matrix(n * a.o_lora_rank, in),
          .n_heads = n,
          .stride = a.o_lora_rank,
          .begin = 0,
          .n_rows = a.o_lora_rank};
}

std::optional<size_t> slot_of(const Demands& demands, int64_t layer,
                              std::optional<size_t> CompressedSlots::*which) {
  if (layer < 0) return std::nullopt;
  return demands.compressed_slots.at(static_cast<size_t>(layer)).*which;
}

}  // namespace

CompressedAttention::CompressedAttention(const Config& c, const CompressedAttentionConfig& a,
                                         const Weights& w, Demands& demands)
    : config_(a),
      rope_(a.rope),
      back_(with(a.rope, 1, true)),
      of_groups_(with(a.rope, std::max<int64_t>(1, a.ratio), false)) {
  const int64_t queries = a.n_heads * a.head_dim;
  in_ = {linear(w["q_a_proj"], c.hidden_size, a.q_lora_rank),
         linear(w["kv_proj"], c.hidden_size, a.head_dim)};
  q_norm_ = load_norm(c, w["q_a_norm"], a.q_lora_rank);
  row_norm_ = load_norm(c, w["kv_norm"], a.head_dim);
  q_b_ = {linear(w["q_b_proj"], a.q_lora_rank, queries)};
  demands.kept.selects = true;
  window_slot_ = demands.kept.add_latent(a.head_dim, a.sliding_window);
  demands.compressed_slots.emplace_back();
  if (a.compresses) load_compressor(c, w["compressor"], demands);
  if (a.chooses) load_indexer(c, w["indexer"], demands);
  rows_slot_ = slot_of(demands, a.rows_of_layer, &CompressedSlots::rows);
  keys_slot_ = slot_of(demands, a.keys_of_layer, &CompressedSlots::keys);
  o_a_ = std::make_shared<const ops::PerHead>(load_groups(a, w["o_a_proj"]));
  o_b_ = {linear(w["o_b_proj"], a.n_output_groups * a.o_lora_rank, c.hidden_size)};
  spec_.n_heads = a.n_heads;
  spec_.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(a.head_dim)));
  spec_.window = a.sliding_window;
  spec_.sinks = w["sinks"].vector(a.n_heads);
  spec_.query = transform_to(ops::Rounding::none);
  // Beside the streams, which wait.
  constexpr int64_t kAngles =
      8;  // kinds of them that a step has, beside those that all models have
  demands.add_rows(3 * c.hyper.n * c.hidden_size + 2 * queries + 12 * a.head_dim + a.q_lora_rank +
                       (a.index.n_heads + 4) * (a.index.head_dim + 2) + a.index.k + a.candidates.k +
                       kAngles * a.rope.dims,
                   std::max(queries, a.n_output_groups * a.o_lora_rank));
  constexpr int64_t kHeads = 32;  // a thread has fewer, and gathers up to a block of rows for them
  demands.add_attention(1, std::min(a.n_heads, kHeads), a.head_dim);
}

void CompressedAttention::load_compressor(const Config& c, const Weights& w, Demands& demands) {
  const CompressedAttentionConfig& a = config_;
  in_.push_back(linear(w["kv_proj"], c.hidden_size, a.head_dim));
  compressed_norm_ = load_norm(c, w["kv_norm"], a.head_dim);
  demands.compressed_slots.back().rows = demands.kept.add_latent(a.head_dim, 0, a.ratio);
  if (a.ratio == 1) return;
  in_.push_back(linear(w["gate_proj"], c.hidden_size, a.head_dim));
  // In the window's blocks, where an open group is within it.
  open_slot_ = demands.kept.add_pair(a.head_dim, std::max(a.sliding_window, a.ratio));
}

void CompressedAttention::load_indexer(const Config& c, const Weights& w, Demands& demands) {
  const IndexConfig& index = config_.index;
  q_b_.push_back(linear(w["q_b_proj"], config_.q_lora_rank, index.n_heads * index.head_dim));
  in_.push_back(linear(w["weights_proj"], c.hidden_size, index.n_heads));
  if (!config_.compresses) return;
  key_ = {linear(w["k_proj"], config_.head_dim, index.head_dim)};
  key_norm_ = load_norm(c, w["k_norm"], index.head_dim);
  demands.compressed_slots.back().keys = demands.kept.add_latent(index.head_dim, 0, config_.ratio);
}

mx::array CompressedAttention::compress(std::span<const mx::array> rows, const Step& step) const {
  const ops::Context& context = step.context;
  const auto keep = [&](const mx::array& x, ops::Rounding rounding, size_t slot) {
    return ops::keep_rows(context, x, of_groups_.angles(step), transform_to(rounding),
                          step.layout.layers[slot], step.states(slot));
  };
  mx::array pooled = rows[0];
  if (open_slot_) {
    pooled = ops::pool_groups(context, rows[0], rows[1], config_.ratio,
                              step.layout.layers[*open_slot_], step.states(*open_slot_));
  }
  const mx::array latent = ops::rms_norm(context, pooled, compressed_norm_);
  const mx::array kept = keep(latent, ops::Rounding::e2m1_e4m3, *rows_slot_);
  if (key_.empty()) return kept;
  const mx::array key =
      ops::rms_norm(context, ops::project(context, latent, std::nullopt, key_)[0], key_norm_);
  return ops::join_heads(context, kept, keep(key, ops::Rounding::e2m1, *keys_slot_), 1);
}

void CompressedAttention::choose(const mx::array& query, const mx::array& weights,
                                 const mx::array& keys, ChosenRows& chosen,
                                 const Step& step) const {
  const IndexConfig& index = config_.index;
  const size_t slot = *keys_slot_;
  const auto scale =
      static_cast<float>(1 / std::sqrt(static_cast<double>(index.n_heads * index.head_dim)));
  const mx::array scaled = ops::scale(step.context, weights, scale);
  const auto select = [&](const IndexConfig& of, const std::optional<ops::Selection>& within) {
    const ops::SelectSpec spec{.n_heads = index.n_heads,
                               .head_dim = index.head_dim,
                               .summed = true,
                               .n_local = of.n_local,
                               .stores = false,
                               .shape = {1, of.k, of.unit, config_.ratio},
                               .query = transform_to(ops::Rounding::e2m1)};
    return ops::select_runs(step.context, query, keys, scaled, rope_.angles(step), spec,
                            step.layout.layers[slot], step.states(slot), within);
  };
  if (config_.finds_candidates) chosen.candidates = select(config_.candidates, std::nullopt);
  chosen.rows = select(index, config_.chooses_candidates ? chosen.candidates : std::nullopt);
}

mx::array CompressedAttention::operator()(const mx::array& x, ChosenRows& chosen,
                                          const Step& step) const {
  const ops::Context& context = step.context;
  const std::vector<mx::array> in = ops::project(context, x, std::nullopt, in_);
  const std::vector<mx::array> of_q = ops::project(context, in[0], q_norm_, q_b_);
  mx::array rows = ops::keep_rows(context, ops::rms_norm(context, in[1], row_norm_),
                                  rope_.angles(step), transform_to(ops::Rounding::e4m3),
                                  step.layout.layers[window_slot_], step.states(window_slot_));
  if (config_.compresses)
    rows = ops::join_heads(context, rows, compress(std::span(in).subspan(2), step), 1);
  if (config_.chooses && keys_slot_) choose(of_q[1], in.back(), rows, chosen, step);
  std::optional<ops::CompressedRows> compressed;
  if (rows_slot_ && chosen.rows)
    compressed = {step.layout.layers[*rows_slot_], step.states(*rows_slot_), *chosen.rows};
  const mx::array attended = ops::attend_compressed(context, of_q[0], rows, rope_.angles(step),
                                                    spec_, step.layout.layers[window_slot_],
                                                    step.states(window_slot_), compressed);
  const mx::array turned = ops::transform_heads(
      context, attended, config_.n_heads, transform_to(ops::Rounding::none), back_.angles(step));
  return ops::project(context, ops::project_per_head(context, turned, o_a_), std::nullopt, o_b_)[0];
}

}  // namespace sluice::nn
