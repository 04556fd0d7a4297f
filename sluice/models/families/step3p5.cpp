#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::step3p5 {
namespace {

// Longer than most: config.json and a GGUF tell its layers in different ways.

using Numbers = std::vector<double>;

/// A list's number of layer i; `otherwise` where it ends before.
double at(const Numbers& list, size_t i, double otherwise) {
  return i < list.size() ? list[i] : otherwise;
}

/// "3,4,5": layers with experts; those from the second on where the file says nothing.
std::function<bool(int64_t)> sparse_layers(const Source& s, const nn::WeightTable& w) {
  if (s.is_gguf()) return has_router(w);
  const int64_t n_layers = s.required_integer({"num_hidden_layers", ""});
  std::set<int64_t> sparse;
  std::istringstream text(s.string({"moe_layers_enum", ""}).value_or(""));
  for (std::string one; std::getline(text, one, ',');) {
    int64_t layer = -1;
    if (std::from_chars(one.data(), one.data() + one.size(), layer).ec != std::errc{})
      fail(ErrorKind::bad_model, "{}: moe_layers_enum has '{}', wanted numbers", s.where(),
           printable(one));
    sparse.insert(layer);
  }
  for (int64_t i = 1; sparse.empty() && i < n_layers; ++i) sparse.insert(i);
  return [sparse](int64_t i) { return sparse.contains(i); };
}

/// Layers with a window have heads of their own; each layer its base and how much of a head is rotated.
void read_layers(nn::Config& c, const Source& s) {
  const auto types = s.strings({"layer_types", ""}).value_or(std::vector<std::string>{});
  const auto yarn = s.strings({"yarn_only_types", ""}).value_or(std::vector<std::string>{});
  const bool some_bases = s.is_array({"rope_theta", ""});
  const Numbers bases = some_bases ? *s.numbers({"rope_theta", ""}) : Numbers{};
  const Numbers shares = s.numbers({"partial_rotary_factors", ""}).value_or(Numbers{});
  const auto local_heads = s.integer({"attention_other_setting/num_attention_heads", ""});
  const auto local_kv_heads = s.integer({"attention_other_setting/num_attention_groups", ""});
  const int64_t window = s.integer({"sliding_window", ""}).value_or(512);
  for (size_t i = 0; i < c.layers.size(); ++i) {
    nn::AttentionConfig& a = *c.layers[i].attention();
    const std::string type = i < types.size() ? types[i] : "full_attention";
    const bool slides = types.empty() ? i % 2 == 0 : type == "sliding_attention";
    if (slides) {
      a.sliding_window = window;
      a.n_heads = local_heads.value_or(a.n_heads);
      a.n_kv_heads = local_kv_heads.value_or(a.n_kv_heads);
    }
    if (!yarn.empty() && std::ranges::count(yarn, type) == 0)
      a.rope = {.dims = a.rope.dims, .theta = a.rope.theta};
    a.rope.theta = at(bases, i, a.rope.theta);
    a.rope.dims = static_cast<int64_t>(static_cast<double>(a.head_dim) * at(shares, i, 1));
  }
}

/// The same of a GGUF: layers that see all rotate half of what those with a window do, and they alone are stretched.
void read_gguf_layers(nn::Config& c, const Source& s) {
  const std::vector<bool> slides = sliding_layers(s, c.n_layers, nullptr);
  const auto heads = s.integers_of_layers({"", "%.attention.head_count"}, c.n_layers, 0);
  const auto kv_heads = s.integers_of_layers({"", "%.attention.head_count_kv"}, c.n_layers, 0);
  const int64_t window = s.required_integer({"", "%.attention.sliding_window"});
  const auto local_theta = s.number({"", "%.rope.freq_base_swa"});
  s.ignore({"", "%.moe_every_n_layers"});  // the tensors tell
  for (size_t i = 0; i < c.layers.size(); ++i) {
    nn::AttentionConfig& a = *c.layers[i].attention();
    a.n_heads = heads[i];
    a.n_kv_heads = kv_heads[i];
    if (slides[i]) {
      a.sliding_window = window;
      a.rope = {.dims = a.rope.dims, .theta = local_theta.value_or(a.rope.theta)};
    } else {
      a.rope.dims /= 2;
      a.rope.divisors.resize(a.rope.divisors.empty() ? 0 : static_cast<size_t>(a.rope.dims / 2));
    }
  }
}

/// As published, norms hold their weight less 1; conversions, which rename the experts, add it.
bool is_as_published(const nn::WeightTable& w, int64_t n_layers) {
  for (int64_t i = 0; i < n_layers; ++i) {
    const auto* const experts =
        w.find(fmt::format("model.layers.{}.mlp.experts.gate_proj.weight", i));
    if (experts != nullptr) return experts->name.find(".moe.") != std::string::npos;
  }
  return false;
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.rms_norm_eps = 1e-5,
                               .renormalize = true,
                               .is_sparse = sparse_layers(s, w),
                               .any_widths = s.is_gguf(),
                               .any_layers = true});
  if (s.is_gguf()) {
    read_gguf_layers(c, s);
  } else {
    read_layers(c, s);
  }
  read_clamps(c, s, {"swiglu_limits", "%.swiglu_clamp_exp"},
              {"swiglu_limits_shared", "%.swiglu_clamp_shexp"});
  for (size_t i = 0; i < c.layers.size(); ++i) check_heads(s, i, *c.layers[i].attention());
  each_attention(c, [](nn::AttentionConfig& a) { a.has_gate = true; });
  if (is_as_published(w, c.n_layers)) c.norm_weight_offset = 1;
  for (const char* told :
       {"use_head_wise_attn_gate", "use_moe_router_bias", "need_fp32_gate", "zero_centered",
        "use_moe", "moe_every_n_layer", "num_nextn_predict_layers", "moe_router_activation",
        "att_impl_type", "use_qk_norm", "norm_type"})
    s.ignore({told, ""});
  each_moe(c, [&](nn::MoeConfig& moe) {
    moe.router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
    moe.router.least_sum = 1e-20F;
    if (!s.is_gguf() && !s.has("routed_scaling_factor")) moe.router.weight_scale = 3;
  });
  return c;
}

constexpr KeyName kKeys[] = {{"num_attention_groups", "num_key_value_heads"},
                             {"moe_num_experts", "num_experts"},
                             {"moe_top_k", "num_experts_per_tok"},
                             {"share_expert_dim", "shared_expert_intermediate_size"},
                             {"moe_router_scaling_factor", "routed_scaling_factor"},
                             {"norm_expert_weight", "norm_topk_prob"}};
constexpr TensorName kTensors[] = {{".moe.gate.", ".mlp.gate."},
                                   {".moe.router_bias", ".mlp.gate.e_score_correction_bias"},
                                   {".moe.", ".mlp.experts."},
                                   {".mlp.gate.gate.", ".mlp.gate."},
                                   {".mlp.gate.router_bias", ".mlp.gate.e_score_correction_bias"},
                                   {".mlp.share_expert.", ".share_expert."},
                                   {".share_expert.", ".mlp.shared_expert."},
                                   {".self_attn.g_proj.", ".self_attn.gate_proj."}};
constexpr TensorName kGgufTensors[] = {{"attn_gate", "self_attn.gate_proj"},
                                       {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"}};
constexpr std::string_view kDrafting[] = {"model.mtp", "mtp"};
constexpr std::string_view kNames[] = {"step3p5", "step35"};

}  // namespace

// Step 3.5 Flash; as mlx-lm 0.32.2 models/step3p5.py. Layers with a window have more heads; what was attended is gated head by
// head; experts by sigmoids with a bias; the last layers' gates are bounded.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .config_keys = kKeys,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors,
                           .drafting = kDrafting,
                           .drops_layers_beyond = true};

}  // namespace sluice::models::families::step3p5
