#include <algorithm>
#include <cmath>
#include <variant>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/conv.h"
#include "sluice/nn/mamba2.h"
#include "sluice/nn/mlp.h"
#include "sluice/ops/elementwise.h"

namespace sluice::models::families::plamo2 {
namespace {

// Longer than a family should be: its Mamba-2, whose B, C and dt come after the convolution, is this family's alone.

/// Mamba-2 whose B, C and dt are made of x after its convolution, and normed each: [z | x] of each head = in_proj(pre(x)).
class ConvolvedMamba {
 public:
  ConvolvedMamba(const nn::Config& c, const nn::Mamba2Config& m, const nn::Weights& w,
                 nn::BlockNorms norms, nn::Demands& demands)
      : norms_(std::move(norms)) {
    ops::Mamba2Spec mamba{.n_heads = m.n_heads,
                          .head_dim = m.head_dim,
                          .state_dim = m.state_dim,
                          .n_groups = 1,
                          .decay = nn::load_decay(w, m.n_heads),
                          .dt_bias = w["dt_bias"].vector(m.n_heads),
                          .d = w["D"].values(m.n_heads),
                          .least_dt = m.least_dt,
                          .most_dt = m.most_dt};
    const int64_t inner = mamba.inner(), n = m.state_dim;
    const int64_t rank = std::max<int64_t>(64, c.hidden_size / 16);
    in_ = {nn::linear(w["in_proj"], c.hidden_size, 2 * inner)};
    ops::CausalConvSpec conv = nn::load_conv(w["conv1d"], inner, m.n_taps);
    conv.activation = kernels::Activation::silu;
    const auto part = [&](int64_t begin, int64_t rows) {
      return nn::linear_part(w["x_proj"], inner, rank + 2 * n, begin, rows);
    };
    of_x_ = {part(0, n), part(n, n), part(2 * n, rank)};
    for (const auto& [name, width] : {std::pair{"b_layernorm", n}, std::pair{"c_layernorm", n},
                                      std::pair{"dt_layernorm", rank}})
      of_x_norms_.push_back({w[name]["weight"].vector(width), 0.0F, c.rms_norm_eps});
    dt_ = {nn::linear(w["dt_proj"], rank, m.n_heads)};
    out_ = nn::linear(w["out_proj"], inner, c.hidden_size);
    conv_slot_ = demands.kept.add_state(conv.state_floats());
    mamba_slot_ = demands.kept.add_recurrence(mamba.state_floats());
    demands.add_rows(8 * inner + 4 * n + 2 * rank + m.n_heads, inner);
    conv_ = std::make_shared<const ops::CausalConvSpec>(std::move(conv));
    mamba_ = std::make_shared<const ops::Mamba2Spec>(std::move(mamba));
  }

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    const ops::Context& context = step.context;
    const mx::array zx = ops::project(context, x, norms_.pre, in_)[0];
    const auto half = [&](int64_t i) {
      const int64_t d = mamba_->head_dim;
      return ops::take_columns(context, zx, ops::of_each_head(mamba_->n_heads, 2 * d, i * d, d));
    };
    const mx::array u = ops::causal_conv(context, half(1), conv_, step.layout.layers[conv_slot_],
                                         step.states(conv_slot_));
    std::vector<mx::array> bcdt = ops::project(context, u, std::nullopt, of_x_);
    for (size_t i = 0; i < bcdt.size(); ++i)
      bcdt[i] = ops::rms_norm(context, bcdt[i], of_x_norms_[i]);
    const mx::array bc = ops::join_heads(context, bcdt[0], bcdt[1], 1);
    const mx::array y = ops::mamba2(context, ops::join_heads(context, u, bc, 1),
                                    ops::project(context, bcdt[2], std::nullopt, dt_)[0], mamba_,
                                    step.layout.layers[mamba_slot_], step.states(mamba_slot_));
    const mx::array gated = ops::apply_gate(context, y, half(0), kernels::Activation::silu);
    return ops::project_onto(context, gated, out_, norms_.end(), x);
  }

 private:
  nn::BlockNorms norms_;
  std::vector<ops::Projection> in_, of_x_, dt_;  // of_x_: B, C, dt
  std::vector<ops::Norm> of_x_norms_;
  std::shared_ptr<const ops::CausalConvSpec> conv_;
  std::shared_ptr<const ops::Mamba2Spec> mamba_;
  ops::Projection out_;
  size_t conv_slot_ = 0, mamba_slot_ = 0;
};

/// Norms before and after both blocks, of which the files have the weights less another number each.
struct Layer {
  std::variant<nn::Attention, ConvolvedMamba> mixer;
  nn::GatedMlp mlp;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : mixer(make_mixer(c, w, c.layers[static_cast<size_t>(i)], demands)),
        mlp(c, c.layers[static_cast<size_t>(i)].mlp(), w["mlp"],
            {.pre = nn::norm(w["pre_feedforward_layernorm"], c),
             .post = after(w["post_feedforward_layernorm"], c, std::pow(5.0F, -1.5F))},
            demands) {}

  static ops::Norm after(const nn::Weights& w, const nn::Config& c, float offset) {
    ops::Norm norm = nn::norm(w, c);
    norm.weight_offset *= offset;
    return norm;
  }
  static decltype(mixer) make_mixer(const nn::Config& c, const nn::Weights& w,
                                    const nn::LayerConfig& layer, nn::Demands& demands) {
    nn::BlockNorms norms{.pre = nn::norm(w["input_layernorm"], c),
                         .post = after(w["post_attention_layernorm"], c, 0.2F)};
    if (layer.attention() != nullptr)
      return nn::Attention(c, *layer.attention(), w["self_attn"], std::move(norms), demands);
    return ConvolvedMamba(c, std::get<nn::Mamba2Config>(layer.mixer), w["mamba"], std::move(norms),
                          demands);
  }

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return mlp(std::visit([&](const auto& part) { return part(x, step); }, mixer), step);
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer>(std::move(config), weights);
}

/// Which layers attend in PLaMo 2: of so many one, and the last where there are fewer.
bool attends(int64_t i, int64_t n_layers, int64_t step) {
  return n_layers <= step / 2 ? i == n_layers - 1 : i % step == step / 2;
}

void read_mamba_layers(nn::Config& c, const Source& s) {
  const auto kv_heads = s.integers_of_layers({"", "%.attention.head_count_kv"}, c.n_layers, 1);
  const int64_t step = std::max<int64_t>(2, s.integer({"mamba_step", ""}).value_or(2));
  const bool some = s.boolean({"mamba_enabled", ""}).value_or(true);
  for (const char* told : {"full_attention_idx", "attention_window_size"}) s.ignore({told, ""});
  nn::Mamba2Config m = read_mamba2(
      s, {"mamba_num_heads", "hidden_size_per_head", "mamba_d_state", "", "mamba_d_conv"});
  m.least_dt = 0.001F;
  m.most_dt = 100;
  for (size_t i = 0; i < c.layers.size(); ++i) {
    const bool is_mamba = s.is_gguf() ? kv_heads[i] == 0
                                      : some && !attends(static_cast<int64_t>(i), c.n_layers, step);
    if (is_mamba) {
      c.layers[i].mixer = m;
    } else if (s.is_gguf()) {
      c.layers[i].attention()->n_kv_heads = kv_heads[i];
    }
  }
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  const bool is_second = s.architecture() == "plamo2";
  nn::Config c = read_decoder(s, w,
                              {.n_heads = 32,
                               .n_kv_heads = 4,
                               .head_dim = 128,
                               .rope_theta = is_second ? 1e4 : 1e6,
                               .sliding_window = is_second ? 0 : 2048,
                               .slides = is_second ? nullptr : all_but_every<8>,
                               .any_widths = s.is_gguf()});
  c.norm_weight_offset = s.is_gguf() ? 0.0F : 1.0F;  // ggml's converter adds it
  if (is_second) {
    each_attention(c, [](nn::AttentionConfig& a) { a.norm_eps = 1e-6F; });
    read_mamba_layers(c, s);
    return c;
  }
  s.ignore({"window_size", ""});  // sliding_window goes before
  const double local = s.number({"rope_local_theta", "%.rope.freq_base_swa"}).value_or(1e4);
  each_attention(c, [&](nn::AttentionConfig& a) {
    if (a.sliding_window > 0) a.rope.theta = local;
  });
  return c;
}

constexpr KeyName kKeys[] = {{"hidden_size_per_head", "head_dim"},
                             {"window_size", "sliding_window"}};
constexpr TensorName kTensors[] = {{"^model.layers.layers.", "model.layers."},
                                   {".pre_mixer_norm.", ".input_layernorm."},
                                   {".post_mixer_norm.", ".post_attention_layernorm."},
                                   {".pre_mlp_norm.", ".pre_feedforward_layernorm."},
                                   {".post_mlp_norm.", ".post_feedforward_layernorm."},
                                   {".mixer.q_weight", ".self_attn.q_norm.weight"},
                                   {".mixer.k_weight", ".self_attn.k_norm.weight"},
                                   {".mixer.q", ".self_attn.q"},
                                   {".mixer.k_norm.", ".self_attn.k_norm."},
                                   {".mixer.o_proj.", ".self_attn.o_proj."},
                                   {".mixer.", ".mamba."},
                                   {".mamba.bcdt_proj.", ".mamba.x_proj."},
                                   {".dt_norm_weight", ".dt_layernorm.weight"},
                                   {".B_norm_weight", ".b_layernorm.weight"},
                                   {".C_norm_weight", ".c_layernorm.weight"}};
constexpr TensorName kGgufTensors[] = {{"ffn_norm", "pre_feedforward_layernorm"},
                                       {"ffn_up", "mlp.gate_up_proj"},
                                       {"ssm_dt.bias", "mamba.dt_bias"},
                                       // Without an ending.
                                       {"post_attention_norm", "post_attention_layernorm.weight"},
                                       {"post_ffw_norm", "post_feedforward_layernorm.weight"},
                                       {"ssm_dt_norm", "mamba.dt_layernorm.weight"},
                                       {"ssm_b_norm", "mamba.b_layernorm.weight"},
                                       {"ssm_c_norm", "mamba.c_layernorm.weight"}};
constexpr std::string_view kNames[] = {"plamo2", "plamo3"};

}  // namespace

// PLaMo 2 and 3; as mlx-lm 0.32.2 models/plamo2.py and plamo3.py, but that a window counts the token itself whatever the step.
// Norms before and after both blocks; of PLaMo 2 every second layer is Mamba-2, and each head has norm weights of its own.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make,
                           .config_keys = kKeys,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::plamo2
