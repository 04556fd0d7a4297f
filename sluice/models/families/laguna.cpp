#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::laguna {
namespace {

/// Which layers have experts: all but the first, where config.json says nothing; a GGUF counts dense ones before them.
std::function<bool(int64_t)> sparse_layers(const Source& s) {
  if (s.is_gguf()) return nullptr;
  const auto types = s.strings({"mlp_layer_types", ""}).value_or(std::vector<std::string>{});
  return [types](int64_t i) {
    return types.empty() ? i > 0
                         : i < std::ssize(types) && types[static_cast<size_t>(i)] == "sparse";
  };
}

/// Heads differ from layer to layer, and RoPE by what a layer sees.
void read_layers(nn::Config& c, const Source& s, nn::WeightTable& w) {
  const auto heads =
      s.integers_of_layers({"num_attention_heads_per_layer", "%.attention.head_count"}, c.n_layers,
                           c.attention()->n_heads);
  const auto kv_heads = s.integers_of_layers({"", "%.attention.head_count_kv"}, c.n_layers,
                                             c.attention()->n_kv_heads);
  const auto local_dims = s.integer({"", "%.rope.dimension_count_swa"});
  const auto local_theta = s.number({"", "%.rope.freq_base_swa"});
  s.ignore({"gating", ""});  // the files tell
  for (size_t i = 0; i < c.layers.size(); ++i) {
    nn::AttentionConfig& a = *c.layers[i].attention();
    a.n_heads = heads[i];
    a.n_kv_heads = kv_heads[i];
    a.has_gate = a.softplus_gate = true;
    check_heads(s, i, a);
    const char* const type = a.sliding_window > 0 ? "sliding_attention" : "full_attention";
    if (has_own_rope(s, type)) a.rope = read_rope(s, w, c, a.head_dim, {}, type);
    if (s.is_gguf() && a.sliding_window > 0)
      a.rope = {.dims = local_dims.value_or(a.rope.dims),
                .theta = local_theta.value_or(a.rope.theta)};
    if (a.rope.dims > a.head_dim)
      fail(ErrorKind::bad_model, "{}: RoPE over {} of {} elements", s.where(), a.rope.dims,
           a.head_dim);
  }
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  std::function<bool(int64_t)> slides;
  if (s.is_gguf()) slides = [](int64_t i) { return i % 4 != 0; };  // it has no list
  nn::Config c = read_decoder(s, w,
                              {.n_kv_heads = 8,
                               .head_dim = 128,
                               .renormalize = true,
                               .sliding_window = s.is_gguf() ? 0 : 512,
                               .slides = slides,
                               .is_sparse = sparse_layers(s),
                               .any_widths = s.is_gguf()});
  read_layers(c, s, w);
  const std::string scores = s.string({"moe_router_score_func", ""}).value_or("sigmoid");
  const auto cap = s.number({"moe_router_logit_softcapping", ""});
  if (scores != "sigmoid" && scores != "sqrtsoftplus")
    fail(ErrorKind::unsupported, "{}: moe_router_score_func '{}' is not supported", s.where(),
         printable(scores));
  for (const char* told : {"qkv_bias", "attention_bias"}) s.ignore({told, ""});
  each_moe(c, [&](nn::MoeConfig& moe) {
    moe.router.scoring = scores == "sigmoid" ? ops::RouterSpec::Scoring::sigmoid_then_top_k
                                             : ops::RouterSpec::Scoring::root_softplus_then_top_k;
    moe.router.cap = static_cast<float>(cap.value_or(0));
    moe.router.renormalize = true;
  });
  return c;
}

constexpr KeyName kKeys[] = {{"moe_routed_scaling_factor", "routed_scaling_factor"}};
constexpr TensorName kTensors[] = {
    {".self_attn.g_proj.", ".self_attn.gate_proj."},
    {".mlp.gate.proj.", ".mlp.gate."},
    {".mlp.experts.e_score_correction_bias", ".mlp.gate.e_score_correction_bias"}};
constexpr TensorName kGgufTensors[] = {{"attn_gate", "self_attn.gate_proj"},
                                       {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"}};
constexpr std::string_view kNames[] = {"laguna"};

}  // namespace

// Poolside's Laguna; as mlx-lm 0.32.2 models/laguna.py. Heads by layer; what was attended is gated head by head, by softplus; RoPE by
// what a layer sees; experts by bounded sigmoids with a bias, beside a shared one.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .config_keys = kKeys,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::laguna
