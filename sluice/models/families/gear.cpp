#include <cmath>
#include <variant>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/conv.h"
#include "sluice/nn/mlp.h"
#include "sluice/ops/elementwise.h"

namespace sluice::models::families::gear {
namespace {

/// Mixes with the few tokens before: o_proj(sigmoid(q * conv(k)) * conv(v)), q and k normed per head.
class ConvMixer {
 public:
  ConvMixer(const nn::Config& c, const nn::AttentionConfig& a, const nn::Weights& w,
            nn::BlockNorms norms, nn::Demands& demands)
      : norms_(std::move(norms)) {
    const int64_t q = a.n_heads * a.head_dim, kv = a.n_kv_heads * a.head_dim;
    in_ = {nn::linear(w["q_proj"], c.hidden_size, q), nn::linear(w["k_proj"], c.hidden_size, kv),
           nn::linear(w["v_proj"], c.hidden_size, kv)};
    out_ = nn::linear(w["o_proj"], q, c.hidden_size);
    q_norm_ = {w["q_norm"]["weight"].vector(a.head_dim), c.norm_weight_offset, c.rms_norm_eps};
    k_norm_ = {w["k_norm"]["weight"].vector(a.head_dim), c.norm_weight_offset, c.rms_norm_eps};
    const auto load = [&](const char* name) {
      const int64_t taps = std::max<int64_t>(1, count(w[name].shape()) / kv);
      return std::make_shared<const ops::CausalConvSpec>(nn::load_conv(w[name], kv, taps));
    };
    key_conv_ = load("key_conv");
    value_conv_ = load("value_conv");
    key_slot_ = demands.kept.add_state(key_conv_->state_floats());
    value_slot_ = demands.kept.add_state(value_conv_->state_floats());
    for (int64_t h = 0; h < a.n_heads; ++h)
      of_query_.push_back({h * a.n_kv_heads / a.n_heads * a.head_dim, a.head_dim});
    demands.add_rows(5 * q + 4 * kv, q);
  }

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    const ops::Context& context = step.context;
    const std::vector<mx::array> in = ops::project(context, x, norms_.pre, in_);
    const auto convolved = [&](const mx::array& of, const auto& conv, size_t slot) {
      const mx::array y =
          ops::causal_conv(context, of, conv, step.layout.layers[slot], step.states(slot));
      return ops::take_columns(context, y, of_query_);
    };
    const mx::array q = ops::rms_norm(context, in[0], q_norm_);
    const mx::array k = convolved(ops::rms_norm(context, in[1], k_norm_), key_conv_, key_slot_);
    const mx::array y = ops::apply_gate(context, convolved(in[2], value_conv_, value_slot_),
                                        ops::multiply(context, q, k), kernels::Activation::sigmoid);
    return ops::project_onto(context, y, out_, norms_.end(), x);
  }

 private:
  static int64_t count(std::span<const int64_t> shape) {
    int64_t n = shape.empty() ? 0 : 1;
    for (const int64_t size : shape) n *= size;
    return n;
  }

  nn::BlockNorms norms_;
  std::vector<ops::Projection> in_;  // q, k, v
  ops::Projection out_;
  ops::Norm q_norm_, k_norm_;
  std::shared_ptr<const ops::CausalConvSpec> key_conv_, value_conv_;
  size_t key_slot_ = 0, value_slot_ = 0;
  std::vector<ops::Columns> of_query_;  // each query head's key head
};

/// Norms before and after both blocks.
struct Layer {
  std::variant<nn::Attention, ConvMixer> mixer;
  nn::GatedMlp mlp;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : mixer(make_mixer(c, w, *c.layers[static_cast<size_t>(i)].attention(), demands)),
        mlp(c, c.layers[static_cast<size_t>(i)].mlp(), w["mlp"],
            {.pre = nn::norm(w["pre_feedforward_layernorm"], c),
             .post = nn::norm(w["post_feedforward_layernorm"], c)},
            demands) {}

  static decltype(mixer) make_mixer(const nn::Config& c, const nn::Weights& w,
                                    const nn::AttentionConfig& a, nn::Demands& demands) {
    nn::BlockNorms norms{.pre = nn::norm(w["input_layernorm"], c),
                         .post = nn::norm(w["post_attention_layernorm"], c)};
    if (w["local_mixer"]["q_proj"].has())
      return ConvMixer(c, a, w["local_mixer"], std::move(norms), demands);
    return nn::Attention(c, a, w["self_attn"], std::move(norms), demands);
  }

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return mlp(std::visit([&](const auto& part) { return part(x, step); }, mixer), step);
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer>(std::move(config), weights);
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.activation = "gelu_pytorch_tanh",
                               .rope_theta = 1e6,
                               .sliding_window = 512,
                               .other_layers = "conv_mixer"});
  if (s.boolean({"use_bidirectional_attention", ""}).value_or(false))
    fail(ErrorKind::unsupported, "{}: use_bidirectional_attention is not supported", s.where());
  s.ignore({"conv_L_cache", ""});  // the files tell
  c.norm_weight_offset = 1;
  c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  const double local = s.number({"rope_local_base_freq", ""}).value_or(1e4);
  each_attention(c, [&](nn::AttentionConfig& a) {
    if (a.sliding_window > 0) a.rope = {.dims = a.rope.dims, .theta = local};
  });
  return c;
}

constexpr std::string_view kNames[] = {"gear"};

}  // namespace

// Gear; as mlx-lm 0.32.2 models/gear.py. Gemma 3 in some of whose layers queries gate the convolution of the few values before,
// instead of attending.
extern const Family family{.names = kNames, .read = read, .make = make};

}  // namespace sluice::models::families::gear
