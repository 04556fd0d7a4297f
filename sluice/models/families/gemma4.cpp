#include <cmath>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/models/per_layer_inputs.h"
#include "sluice/nn/mixer.h"
#include "sluice/nn/moe.h"
#include "sluice/ops/elementwise.h"

namespace sluice::models::families::gemma4 {
namespace {

// Longer than a family should be: what 2B and 4B models have per layer, shared KV and experts beside a dense block are
// this family's alone, and each is said once more for GGUF's keys.

constexpr auto kGelu = kernels::Activation::gelu_tanh;

/// Dense, or dense and sparse side by side (26B).
class GemmaFeedForward {
 public:
  GemmaFeedForward(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : end_{nn::norm(w["post_feedforward_layernorm"], c), 1.0F} {
    const nn::LayerConfig& layer = c.layers[static_cast<size_t>(i)];
    const nn::BlockNorms norms{.pre = nn::norm(w["pre_feedforward_layernorm"], c), .post = {}};
    const nn::MoeConfig* const moe = layer.moe();
    nn::MlpConfig dense = layer.mlp();
    if (moe != nullptr) dense.intermediate_size = moe->shared_intermediate_size;
    dense_ = nn::gated_mlp(
        c, dense, w["mlp"],
        moe == nullptr ? nn::BlockNorms{norms.pre, end_.norm}
                       : nn::BlockNorms{norms.pre, nn::norm(w["post_feedforward_layernorm_1"], c)},
        demands);
    if (moe == nullptr) return;
    const nn::Weights router = w["router"];
    ops::RouterSpec routing = moe->router;
    routing.expert_scale = router["per_expert_scale"].vector(moe->n_experts);
    std::vector<float> scale = *router["scale"].vector(c.hidden_size);
    for (float& s : scale) s /= std::sqrt(static_cast<float>(c.hidden_size));
    demands.add_experts(moe->n_experts, routing.n_experts_per_tok, moe->expert.intermediate_size);
    sparse_ = std::make_shared<const ops::MoeSpec>(ops::MoeSpec{
        .layer = static_cast<int>(i),
        .pre = nn::norm(w["pre_feedforward_layernorm_2"], c),
        .router_pre = ops::Norm{std::make_shared<const std::vector<float>>(std::move(scale)), 0.0F,
                                c.rms_norm_eps},
        .end = {nn::norm(w["post_feedforward_layernorm_2"], c), 1.0F},
        .router = nn::linear(router["proj"], c.hidden_size, moe->n_experts),
        .routing = std::move(routing),
        .experts = nn::load_experts(c, *moe, w["experts"]),
    });
  }

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    if (!sparse_) return ops::gated_mlp(step.context, x, dense_, true);
    const mx::array dense = ops::gated_mlp(step.context, x, dense_, false);
    const mx::array sparse =
        ops::moe(step.context, x, sparse_, false, step.moe_layers, step.experts);
    return ops::add_block(step.context, ops::add(step.context, dense, sparse), end_, x);
  }

 private:
  ops::BlockEnd end_;
  std::shared_ptr<const ops::GatedMlpSpec> dense_;
  std::shared_ptr<const ops::MoeSpec> sparse_;  // null: none
};

struct Layer {
  nn::Mixer attention;
  GemmaFeedForward feed_forward;
  std::vector<ops::Projection> gate, projection;  // of the input of its own: one each, or none
  ops::BlockEnd end;
  int64_t index;
  float scalar = 1;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : attention(c, c.layers[static_cast<size_t>(i)], w,
                  {.pre = nn::norm(w["input_layernorm"], c),
                   .post = nn::norm(w["post_attention_layernorm"], c)},
                  demands),
        feed_forward(c, w, i, demands),
        index(i) {
    if (const nn::Weights own = w["per_layer_input_gate"]; own.has()) {
      const int64_t width = own.shape()[0];
      gate = {nn::linear(own, c.hidden_size, width)};
      projection = {nn::linear(w["per_layer_projection"], width, c.hidden_size)};
      end.norm = nn::norm(w["post_per_layer_input_norm"], c);
    }
    if (const ops::Vector of_file = w["layer_scalar"].optional_vector(1);
        of_file && !of_file->empty())
      scalar = of_file->front();
  }

  mx::array operator()(const mx::array& x, const nn::Step& step,
                       const std::optional<mx::array>& inputs) const {
    const ops::Context& context = step.context;
    mx::array y = feed_forward(attention(x, step), step);
    if (inputs && !gate.empty()) {
      const int64_t width = gate[0].weight.rows();
      const mx::array own = input_of_layer(step, inputs, index, width);
      const mx::array gated =
          ops::apply_gate(context, own, ops::project(context, y, std::nullopt, gate)[0], kGelu);
      y = ops::project_onto(context, gated, projection[0], end, y);
    }
    return scalar == 1 ? y : ops::scale(context, y, scalar);
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer, PerLayerInputs>(std::move(config), weights);
}

/// RoPE of layers with a window, of a GGUF; the other layers' has a table in the file.
nn::RopeConfig local_rope(const Source& s, int64_t head_dim) {
  nn::RopeConfig rope;
  rope.dims = s.integer({"", "%.rope.dimension_count_swa"}).value_or(head_dim);
  rope.theta = s.number({"", "%.rope.freq_base_swa"}).value_or(1e4);
  return rope;
}

/// Layers that see all have wider heads; the last ones attend what the last of their kind before them stored.
void read_layers(nn::Config& c, const Source& s, nn::WeightTable& w, const Defaults& defaults) {
  const int64_t n_shared =
      s.integer({"num_kv_shared_layers", "%.attention.shared_kv_layers"}).value_or(0);
  const int64_t local_dim =
      s.integer({"", "%.attention.key_length_swa"}).value_or(c.attention()->head_dim);
  s.ignore({"", "%.attention.value_length_swa"});
  const int64_t global_dim = s.integer({"global_head_dim", "%.attention.key_length"}).value_or(0);
  const int64_t global_kv = s.integer({"num_global_key_value_heads", ""}).value_or(0);
  const bool wide = s.boolean({"use_double_wide_mlp", ""}).value_or(!s.is_gguf());
  const auto kv_heads = s.integers_of_layers({"", "%.attention.head_count_kv"}, c.n_layers,
                                             c.attention()->n_kv_heads);
  const auto widths = s.integers_of_layers({"", "%.feed_forward_length"}, c.n_layers,
                                           c.layers[0].mlp().intermediate_size);
  s.ignore({"attention_k_eq_v", ""});  // the files tell
  s.ignore({"global_partial_rotary_factor", ""});
  if (n_shared >= c.n_layers)
    fail(ErrorKind::bad_model, "{}: all {} layers share keys and values", s.where(), c.n_layers);
  const auto first_shared = static_cast<size_t>(c.n_layers - n_shared);
  int64_t last_local = -1, last_global = -1;
  for (size_t i = 0; i < c.layers.size(); ++i) {
    nn::AttentionConfig& a = *c.layers[i].attention();
    const bool local = a.sliding_window > 0;
    a.scale = 1;
    a.value_norm = true;
    a.head_dim = local || global_dim == 0 ? local_dim : global_dim;
    a.n_kv_heads = kv_heads[i];
    c.layers[i].mlp().intermediate_size = widths[i];
    a.keys_are_values =
        w.find(fmt::format("model.layers.{}.self_attn.v_proj.weight", i)) == nullptr;
    if (!local && a.keys_are_values && global_kv > 0) a.n_kv_heads = global_kv;
    if (a.n_kv_heads < 1 || a.n_heads % a.n_kv_heads != 0 || a.head_dim < 1 ||
        a.head_dim > kMaxHeadDim) {
      fail(ErrorKind::unsupported, "{}: {} heads of {} ({} for keys)", s.where(), a.n_heads,
           a.head_dim, a.n_kv_heads);
    }
    a.rope = local && s.is_gguf() ? local_rope(s, a.head_dim)
                                  : read_rope(s, w, c, a.head_dim, defaults,
                                              local ? "sliding_attention" : "full_attention");
    if (i >= first_shared) {
      a.kv_of_layer = local ? last_local : last_global;
      if (a.kv_of_layer < 0)
        fail(ErrorKind::bad_model, "{}: layer {} shares keys and values of no layer", s.where(), i);
      if (wide) c.layers[i].mlp().intermediate_size *= 2;
    } else {
      (local ? last_local : last_global) = static_cast<int64_t>(i);
    }
  }
}

/// Every layer has experts beside a dense block, or none has.
void read_experts(nn::Config& c, const Source& s) {
  for (nn::LayerConfig& layer : c.layers) layer.mlp().activation = kGelu;
  const int64_t n = s.integer({"num_experts", "%.expert_count"}).value_or(0);
  const int64_t k = s.integer({"top_k_experts", "%.expert_used_count"}).value_or(0);
  const int64_t inner =
      s.integer({"moe_intermediate_size", "%.expert_feed_forward_length"}).value_or(0);
  if (!s.boolean({"enable_moe_block", ""}).value_or(s.is_gguf() && n > 0)) return;
  for (nn::LayerConfig& layer : c.layers) {
    nn::MoeConfig moe;
    moe.n_experts = n;
    moe.expert = layer.mlp();
    moe.shared_intermediate_size = moe.expert.intermediate_size;
    moe.expert.intermediate_size = inner;
    moe.router.scoring = ops::RouterSpec::Scoring::top_k_then_softmax;
    moe.router.n_experts_per_tok = k;
    check_experts(s, moe, c.n_layers);
    layer.feed_forward = moe;
  }
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  const Defaults defaults{.vocab_size = 262144,
                          .n_heads = 8,
                          .n_kv_heads = 1,
                          .head_dim = 256,
                          .rope_theta = 1e4,
                          .sliding_window = 512,
                          .slides = all_but_every<5>,
                          .any_widths = true,
                          .experts_elsewhere = true};
  nn::Config c = read_decoder(s, w, defaults);
  read_layers(c, s, w, defaults);
  read_experts(c, s);
  c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  s.ignore({"", "%.embedding_length_per_layer_input"});
  for (const char* told :
       {"hidden_size_per_layer_input", "vocab_size_per_layer_input", "use_bidirectional_attention"})
    s.ignore({told, ""});
  if (!s.has("final_logit_softcapping") && !s.is_gguf()) c.logits_softcap = 30;
  return c;
}

constexpr TensorName kTensors[] = {{".experts.switch_glu.", ".experts."}};
constexpr TensorName kGgufTensors[] = {
    {"per_layer_token_embd", "model.embed_tokens_per_layer"},
    {"per_layer_model_proj", "model.per_layer_model_projection"},
    {"per_layer_proj_norm", "model.per_layer_projection_norm"},
    {"ffn_norm", "pre_feedforward_layernorm"},
    {"post_ffw_norm_1", "post_feedforward_layernorm_1"},
    {"post_ffw_norm_2", "post_feedforward_layernorm_2"},
    {"pre_ffw_norm_2", "pre_feedforward_layernorm_2"},
    {"inp_gate", "per_layer_input_gate"},
    {"proj", "per_layer_projection"},
    {"post_norm", "post_per_layer_input_norm"},
    {"layer_output_scale.weight", "layer_scalar"},
    {"ffn_gate_inp.scale", "router.scale"},
    {"ffn_gate_inp.weight", "router.proj.weight"},
    {"ffn_gate_up_exps", "experts.gate_up_proj"},
    {"ffn_gate_exps", "experts.gate_proj"},
    {"ffn_up_exps", "experts.up_proj"},
    {"ffn_down_exps.scale", "router.per_expert_scale"},
    {"ffn_down_exps.weight", "experts.down_proj.weight"},
};
constexpr std::string_view kNames[] = {"gemma4", "gemma4_text", "gemma4_unified",
                                       "gemma4_unified_text"};

}  // namespace

// Gemma 4 (E2B, E4B, 12B, 26B-A4B, 31B); as mlx-lm 0.32.2 models/gemma4_text.py. Norms before and after both blocks, values
// normed, wider heads where all is seen, inputs of each layer's own, last layers that share keys and values, experts beside a
// dense block.
extern const Family family{
    .names = kNames, .read = read, .make = make, .gguf_names = kGgufTensors, .hf_names = kTensors};

}  // namespace sluice::models::families::gemma4
