#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::lfm2 {
namespace {

/// Which layers attend; the others convolve.
std::vector<bool> attending(const Source& s, int64_t n_layers) {
  std::vector<bool> attends(static_cast<size_t>(n_layers));
  if (const auto kv_heads = s.numbers({"", "%.attention.head_count_kv"})) {  // one per layer
    for (size_t i = 0; i < attends.size() && i < kv_heads->size(); ++i)
      attends[i] = (*kv_heads)[i] > 0;
    return attends;
  }
  if (const auto indices = s.numbers({"full_attn_idxs", ""})) {
    for (const double i : *indices) {
      if (i < 0 || i >= static_cast<double>(n_layers))
        fail(ErrorKind::bad_model, "{}: full_attn_idxs has {}, there are {} layers", s.where(), i,
             n_layers);
      attends[static_cast<size_t>(i)] = true;
    }
    return attends;
  }
  const auto types = s.strings({"layer_types", ""});
  for (size_t i = 0; types && i < attends.size() && i < types->size(); ++i)
    attends[i] = (*types)[i] == "full_attention";
  return attends;
}

/// The feed-forward block's width, which the file gives before or after rounding.
int64_t intermediate_size(const Source& s, int64_t otherwise) {
  const auto given = s.integer({"block_ff_dim", ""});
  const auto factor = s.number({"block_ffn_dim_multiplier", ""});
  const int64_t multiple = std::max<int64_t>(1, s.integer({"block_multiple_of", ""}).value_or(256));
  s.ignore({"block_dim", ""});
  int64_t size = given.value_or(otherwise);
  if (s.is_gguf() || !s.boolean({"block_auto_adjust_ff_dim", ""}).value_or(false)) return size;
  size = 2 * size / 3;
  if (factor) size = static_cast<int64_t>(*factor * static_cast<double>(size));
  return (size + multiple - 1) / multiple * multiple;
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.norm_eps_key = "norm_eps",
                               .renormalize = true,
                               .rope_theta = 1e6,
                               .first_dense_key = "num_dense_layers",
                               .other_layers = "conv"});
  const nn::ShortConvConfig conv{.n_taps =
                                     s.required_integer({"conv_L_cache", "%.shortconv.l_cache"})};
  if (conv.n_taps < 1 || conv.n_taps > 64)
    fail(ErrorKind::bad_model, "{}: conv_L_cache is {}, wanted 1 to 64", s.where(), conv.n_taps);
  s.ignore({"conv_bias", ""});       // the files tell
  s.ignore({"block_norm_eps", ""});  // norm_eps once more
  s.ignore({"use_expert_bias", ""});
  const std::vector<bool> attends = attending(s, c.n_layers);
  for (size_t i = 0; i < attends.size(); ++i) {
    nn::LayerConfig& layer = c.layers[i];
    if (!attends[i]) layer.mixer = conv;
    if (c.moe() == nullptr)
      layer.mlp().intermediate_size = intermediate_size(s, layer.mlp().intermediate_size);
  }
  each_moe(c, [](nn::MoeConfig& moe) {
    moe.router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
    moe.router.least_sum = 1e-6F;
  });
  c.tie_word_embeddings = true;
  return c;
}

constexpr TensorName kTensors[] = {{"model.embedding_norm.", "model.norm."},
                                   {".operator_norm.", ".input_layernorm."},
                                   {".ffn_norm.", ".post_attention_layernorm."},
                                   {".feed_forward.", ".mlp."},
                                   {".self_attn.out_proj.", ".self_attn.o_proj."},
                                   {".q_layernorm.", ".q_norm."},
                                   {".k_layernorm.", ".k_norm."},
                                   {".mlp.expert_bias", ".mlp.gate.e_score_correction_bias"},
                                   {".w1.", ".gate_proj."},
                                   {".w2.", ".down_proj."},
                                   {".w3.", ".up_proj."}};
constexpr TensorName kGgufNames[] = {{"token_embd_norm", "model.norm"},
                                     {"shortconv.conv", "conv.conv"},
                                     {"shortconv.in_proj", "conv.in_proj"},
                                     {"shortconv.out_proj", "conv.out_proj"},
                                     {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"}};

constexpr std::string_view kNames[] = {"lfm2", "lfm2_moe", "lfm2-vl", "lfm2_vl", "lfm2moe"};

}  // namespace

// LFM2 and LFM2-MoE, arXiv:2511.23404; as mlx-lm 0.32.2 models/lfm2.py and lfm2_moe.py. Gated short convolutions, few
// layers of attention; of LFM2-MoE's experts a bias helps to choose, the first layers are dense.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .gguf_names = kGgufNames,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::lfm2
