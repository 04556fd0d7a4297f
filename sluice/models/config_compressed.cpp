#include <algorithm>
#include <cmath>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/models/config.h"

namespace sluice::models {
namespace {

using nn::CompressedAttentionConfig;

constexpr int64_t kMostTokens = 4096;  // of a compressed row
constexpr int64_t kMostChosen = 1 << 17;

/// Whole numbers.
std::vector<int64_t> list(const Source& s, const char* key) {
  std::vector<int64_t> all;
  for (const double one : s.numbers({key, ""}).value_or(std::vector<double>{})) {
    if (!(one >= 0) || one > 1 << 20 || one != std::floor(one))
      fail(ErrorKind::bad_model, "{}: {} has {}, wanted whole numbers from 0 on", s.where(), key,
           one);
    all.push_back(static_cast<int64_t>(one));
  }
  return all;
}

CompressedAttentionConfig read_sizes(const nn::Config& c, const Source& s) {
  const auto number = [&](const char* key, int64_t usual) {
    return s.integer({key, ""}).value_or(usual);
  };
  CompressedAttentionConfig a;
  a.n_heads = c.attention()->n_heads;
  a.head_dim = number("head_dim", 512);
  a.q_lora_rank = number("q_lora_rank", 1280);
  a.sliding_window = number("sliding_window", 128);
  a.n_output_groups = number("o_groups", 8);
  a.o_lora_rank = number("o_lora_rank", 1024);
  a.rope = c.attention()->rope;
  a.index = {.n_heads = number("index_n_heads", 32),
             .head_dim = number("index_head_dim", 128),
             .k = number("index_topk", 512)};
  a.candidates = {.k = number("candidate_topk_blocks", 2048),
                  .unit = number("candidate_block_size", 8),
                  .n_local = 1};
  if (a.head_dim < 1 || a.head_dim > kMaxHeadDim || a.index.head_dim > kMaxHeadDim ||
      a.rope.dims < 2 || a.rope.dims > std::min(a.head_dim, a.index.head_dim))
    fail(ErrorKind::unsupported,
         "{}: heads of {}, of an indexer {}, of which {} are rotated: supported are heads of up to "
         "{}",
         s.where(), a.head_dim, a.index.head_dim, a.rope.dims, kMaxHeadDim);
  if (a.q_lora_rank < 1 || a.sliding_window < 1 || a.o_lora_rank < 1 || a.n_output_groups < 1 ||
      a.n_heads * a.head_dim % a.n_output_groups != 0)
    fail(ErrorKind::bad_model,
         "{}: {} heads of {}, from rows of {}, with a window of {}, to {} groups of {}", s.where(),
         a.n_heads, a.head_dim, a.q_lora_rank, a.sliding_window, a.n_output_groups, a.o_lora_rank);
  if (a.index.n_heads < 1 || a.index.k < 1 || a.index.k > kMostChosen ||
      a.candidates.k > kMostChosen || a.candidates.unit < 1 || a.candidates.unit > kMostChosen)
    fail(ErrorKind::bad_model, "{}: an indexer of {} heads that chooses {} rows from {} runs of {}",
         s.where(), a.index.n_heads, a.index.k, a.candidates.k, a.candidates.unit);
  return a;
}

/// Of layers with compressed rows; the others rotate by rope_theta alone.
nn::RopeConfig stretched(const nn::RopeConfig& read, const Source& s) {
  nn::RopeConfig rope = read;
  if (rope.kind != nn::RopeConfig::Kind::plain && rope.kind != nn::RopeConfig::Kind::yarn)
    fail(ErrorKind::unsupported, "{}: RoPE of compressed rows is stretched by YaRN or not at all",
         s.where());
  rope.theta = s.number({"compress_rope_theta", ""}).value_or(160000);
  rope.attention_factor = 1;
  return rope;
}

void check_sources(const nn::Config& c, const Source& s, const CompressedAttentionConfig& a,
                   size_t layer, int64_t found_ratio) {
  if (a.ratio > kMostTokens)
    fail(ErrorKind::unsupported, "{}: compress_ratios has {}, supported are up to {}", s.where(),
         a.ratio, kMostTokens);
  for (const int64_t of : {a.rows_of_layer, a.keys_of_layer}) {
    if (of < 0) continue;
    const auto& source = c.layers[static_cast<size_t>(of)].mixer;
    const int64_t ratio = std::get<CompressedAttentionConfig>(source).ratio;
    if (ratio != a.ratio)
      fail(ErrorKind::unsupported, "{}: layer {} has rows of {} tokens and shares layer {}'s of {}",
           s.where(), layer, a.ratio, of, ratio);
  }
  if (a.chooses_candidates && found_ratio != a.ratio)
    fail(ErrorKind::unsupported,
         "{}: layer {} chooses rows of {} tokens from candidates of {} tokens each", s.where(),
         layer, a.ratio, found_ratio);
  const bool enough = a.index.k <= (a.candidates.k - 1) * a.candidates.unit + 1;
  if (a.chooses_candidates && !enough)
    fail(ErrorKind::unsupported, "{}: index_topk is {}, of {} candidates", s.where(), a.index.k,
         a.candidates.k * a.candidates.unit);
}

}  // namespace

void read_compressed_attention(nn::Config& c, const Source& s) {
  CompressedAttentionConfig a = read_sizes(c, s);
  const nn::RopeConfig own{
      .dims = a.rope.dims, .theta = a.rope.theta, .interleaved = a.rope.interleaved};
  const nn::RopeConfig shared = stretched(a.rope, s);
  const auto ratios = list(s, "compress_ratios");
  const auto makers = list(s, "kv_source_layer_ids"), choosers = list(s, "index_source_layer_ids");
  const double finder = s.number({"candidate_source_layer_id", ""}).value_or(-1);
  int64_t rows = -1, keys = -1;
  int64_t found_ratio = 0;  // of the candidates; 0: there are none yet
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const auto is_in = [i](const std::vector<int64_t>& of) {
      return std::ranges::find(of, i) != of.end();
    };
    a.ratio = i < std::ssize(ratios) ? ratios[static_cast<size_t>(i)] : 0;
    a.rope = a.ratio > 0 ? shared : own;
    a.compresses = a.ratio > 0 && is_in(makers);
    a.chooses = a.ratio > 0 && is_in(choosers);
    if (a.compresses) rows = i;
    if (a.compresses && a.chooses) keys = i;
    a.rows_of_layer = a.ratio > 0 ? rows : -1;
    a.keys_of_layer = a.chooses ? keys : -1;
    a.chooses_candidates = a.chooses && found_ratio > 0;
    a.finds_candidates = a.chooses && a.candidates.k > 0 && finder == static_cast<double>(i);
    c.layers[static_cast<size_t>(i)].mixer = a;
    check_sources(c, s, a, static_cast<size_t>(i), found_ratio);
    if (a.finds_candidates) found_ratio = a.ratio;
  }
}

}  // namespace sluice::models
