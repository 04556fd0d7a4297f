#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "sluice/nn/demands.h"
#include "sluice/nn/linear.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/rope.h"
#include "sluice/ops/compressed_attention.h"
#include "sluice/ops/per_head.h"

namespace sluice::nn {

/// What a step's layers hand on: the compressed rows that its tokens attend, and what they were chosen from.
struct ChosenRows {
  std::optional<ops::Selection> rows, candidates;
};

/// Attention to the rows of a window of tokens and to compressed ones (DeepSeek-V4.1), without norms and residual. Rows, keys and
/// the queries that choose are rounded to few bits, as the model was trained.
class CompressedAttention {
 public:
  /// w: "...self_attn". Layers are made in their order, as they attend what earlier ones keep.
  CompressedAttention(const Config& c, const CompressedAttentionConfig& a, const Weights& w,
                      Demands& demands);

  /// x: [T, hidden_size], normed; returns the same shape. Appends this step's rows to the KV blocks.
  mx::array operator()(const mx::array& x, ChosenRows& chosen, const Step& step) const;

 private:
  void load_compressor(const Config& c, const Weights& w, Demands& demands);
  void load_indexer(const Config& c, const Weights& w, Demands& demands);
  /// rows: what was projected for them, and for their gates. Returns what keeping them gave.
  mx::array compress(std::span<const mx::array> rows, const Step& step) const;
  /// keys: what they must be there for.
  void choose(const mx::array& query, const mx::array& weights, const mx::array& keys,
              ChosenRows& chosen, const Step& step) const;

  CompressedAttentionConfig config_;
  std::vector<ops::Projection>
      in_;  // q's low-rank row, the window's, the compressor's and its gate's, the indexer's weights
  std::vector<ops::Projection> q_b_;  // then the indexer's
  std::vector<ops::Projection> key_;  // of the indexer, or none
  ops::Norm q_norm_, row_norm_, compressed_norm_, key_norm_;
  std::shared_ptr<const ops::PerHead> o_a_;
  std::vector<ops::Projection> o_b_;
  Rope rope_, back_, of_groups_;
  ops::AttentionSpec spec_;
  size_t window_slot_;
  std::optional<size_t> open_slot_, rows_slot_, keys_slot_;
};

}  // namespace sluice::nn
