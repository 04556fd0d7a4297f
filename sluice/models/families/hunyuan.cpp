#include <cmath>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::hunyuan {
namespace {

/// A number, or one of each layer.
int64_t of_layer(const Source& s, const char* key, size_t i, int64_t otherwise) {
  if (!s.is_array({key, ""})) return s.integer({key, ""}).value_or(otherwise);
  const auto values = s.numbers({key, ""});
  if (!values || i >= values->size())
    fail(ErrorKind::bad_model, "{}: {} has {} numbers, wanted one for each layer", s.where(), key,
         values ? values->size() : 0);
  return static_cast<int64_t>((*values)[i]);
}

/// Experts, by softmax over all without renormalizing, and a shared one without a gate.
void read_experts(nn::Config& c, const Source& s) {
  const int64_t n_experts = s.integer({"num_experts", "%.expert_count"}).value_or(1);
  // transformers' newer name of it and llama.cpp do it, mlx-lm never.
  const bool renormalizes =
      s.boolean({"norm_topk_prob", ""}).value_or(s.architecture() != "hunyuan");
  const bool shares = s.boolean({"use_mixed_mlp_moe", ""}).value_or(true);
  const auto width = s.integer({"", "%.expert_feed_forward_length"});
  const auto shared = s.integer({"", "%.expert_shared_feed_forward_length"});
  for (size_t i = 0; i < c.layers.size(); ++i) {
    const int64_t per_tok =
        of_layer(s, "moe_topk", i, s.integer({"", "%.expert_used_count"}).value_or(1));
    const int64_t n_shared = of_layer(s, "num_shared_expert", i, 1);
    const nn::MlpConfig dense = c.layers[i].mlp();
    nn::MoeConfig moe{.n_experts = n_experts, .expert = dense, .router = {}};
    moe.expert.intermediate_size =
        width.value_or(of_layer(s, "moe_intermediate_size", i, dense.intermediate_size));
    moe.shared_intermediate_size =
        !shares ? 0 : shared.value_or(n_shared * dense.intermediate_size);
    moe.router.n_experts_per_tok = per_tok;
    moe.router.renormalize = renormalizes;
    if (n_experts == 1) continue;
    check_experts(s, moe, c.n_layers);
    c.layers[i].feed_forward = moe;
  }
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.experts_elsewhere = true});
  read_experts(c, s);
  const double alpha = s.number({"rope_scaling/alpha", ""}).value_or(1);
  for (const char* unused :
       {"rope_scaling/factor", "rope_scaling/type", "rope_scaling/beta_fast",
        "rope_scaling/beta_slow", "rope_scaling/mscale", "rope_scaling/mscale_all_dim",
        "use_qk_norm", "cla_share_factor", "moe_random_routing_dropped_token"})
    s.ignore({unused, ""});
  s.ignore({"", "%.expert_shared_count"});
  const bool shares_keys = s.boolean({"use_cla", ""}).value_or(false);
  const int64_t period = std::max<int64_t>(1, s.integer({"cla_share_factor", ""}).value_or(2));
  const bool fused = w.find("model.layers.0.mlp.up_gate_proj.weight") != nullptr;
  for (int64_t i = 0; i < c.n_layers; ++i) {
    nn::AttentionConfig& a = *c.layers[static_cast<size_t>(i)].attention();
    a.norm_last = true;
    a.qkv_per_group = fused;
    a.key_norm_of_layer = shares_keys;
    if (shares_keys && i % period != 0) a.kv_of_layer = i - i % period;
    const auto d = static_cast<double>(a.head_dim);
    if (!s.is_gguf())  // ggml's converter has it in the base already
      a.rope = {.dims = a.rope.dims, .theta = a.rope.theta * std::pow(alpha, d / (d - 2))};
  }
  return c;
}

constexpr TensorName kTensors[] = {{".query_layernorm.", ".q_norm."},
                                   {".key_layernorm.", ".k_norm."},
                                   {".mlp.gate.wg.", ".mlp.gate."},
                                   {".mlp.shared_mlp.", ".mlp.shared_expert."},
                                   {".gate_and_up_proj.", ".up_gate_proj."}};
constexpr std::string_view kNames[] = {"hunyuan", "hunyuan_v1_moe", "hunyuan-moe"};

}  // namespace

// Hunyuan Large, arXiv:2411.02265, 7B and A13B; as mlx-lm 0.32.2 models/hunyuan.py. Layers attend the keys and values of the one
// before them (cross-layer attention, arXiv:2405.12981), whose norm comes after the rotation; experts beside a shared one.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::hunyuan
