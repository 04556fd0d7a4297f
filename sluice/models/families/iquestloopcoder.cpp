#include <variant>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/mlp.h"
#include "sluice/ops/elementwise.h"
#include "sluice/ops/per_head.h"

namespace sluice::models::families::iquestloopcoder {
namespace {

/// The second time a layer runs: attends what it kept the first time, and within a window what it keeps now; what a
/// head's query says of the head mixes both.
class MixedAttention {
 public:
  /// w: the layer, where its gate lies itself. `layer` attends the first time.
  MixedAttention(const nn::Config& c, const nn::AttentionConfig& a, const nn::Weights& w,
                 nn::BlockNorms norms, int64_t layer, nn::Demands& demands)
      : norms_(std::move(norms)),
        n_heads_(a.n_heads),
        in_{nn::linear(w["self_attn"]["q_proj"], c.hidden_size, a.n_heads * a.head_dim),
            nn::linear(w["self_attn"]["k_proj"], c.hidden_size, a.n_kv_heads * a.head_dim),
            nn::linear(w["self_attn"]["v_proj"], c.hidden_size, a.n_kv_heads * a.head_dim)},
        out_(nn::linear(w["self_attn"]["o_proj"], a.n_heads * a.head_dim, c.hidden_size)),
        gate_(std::make_shared<const ops::PerHead>(
            ops::PerHead{w.matrix(a.n_heads, a.head_dim), a.n_heads, 1, 0, 1})),
        gate_bias_(w["bias"].vector(a.n_heads)),
        rope_(a.rope),
        rotation_{.interleaved = rope_.interleaved()},
        first_slot_(demands.attention_slots.at(static_cast<size_t>(layer))),
        slot_(demands.kept.add_kv(a.n_kv_heads, a.head_dim, a.sliding_window)) {
    global_ = {.n_heads = a.n_heads, .scale = a.scale, .stores = false};
    local_ = {.n_heads = a.n_heads, .scale = a.scale, .window = a.sliding_window};
    const int64_t q = a.n_heads * a.head_dim, kv = a.n_kv_heads * a.head_dim;
    demands.add_rows(6 * q + 4 * kv + 2 * a.n_heads, q);
    demands.add_attention(a.n_kv_heads, a.n_heads / a.n_kv_heads, a.head_dim);
  }

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    const ops::Context& context = step.context;
    const std::vector<mx::array> in = ops::project(context, x, norms_.pre, in_);
    const std::optional<mx::array> angles = rope_.angles(step);
    const mx::array q = ops::transform_heads(context, in[0], n_heads_, rotation_, angles);
    const int64_t n_kv_heads = step.layout.layers[slot_].n_kv_heads;
    const mx::array k = ops::transform_heads(context, in[1], n_kv_heads, rotation_, angles);
    const mx::array gate =
        ops::add_to_rows(context, ops::project_per_head(context, q, gate_), gate_bias_);
    const auto attend = [&](const ops::AttentionSpec& spec, size_t slot) {
      return ops::attention(context, q, k, in[2], std::nullopt, spec, step.layout.layers[slot],
                            step.kv[step.layout.group_of_layer[slot]]);
    };
    const mx::array global = attend(global_, first_slot_), local = attend(local_, slot_);
    const mx::array more = ops::add(context, global, ops::scale(context, local, -1));
    const mx::array mixed = ops::add(
        context, local, ops::gate_heads(context, more, gate, kernels::Activation::sigmoid));
    return ops::project_onto(context, mixed, out_, norms_.end(), x);
  }

 private:
  nn::BlockNorms norms_;
  int64_t n_heads_;
  std::vector<ops::Projection> in_;  // q, k, v
  ops::Projection out_;
  std::shared_ptr<const ops::PerHead> gate_;
  ops::Vector gate_bias_;
  nn::Rope rope_;
  ops::HeadTransform rotation_;
  ops::AttentionSpec global_, local_;
  size_t first_slot_, slot_;
};

/// The first time it attends as usual.
struct Layer {
  std::variant<nn::Attention, MixedAttention> attention;
  nn::GatedMlp mlp;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : attention(make_attention(c, w, i, demands)),
        mlp(c, c.layers[static_cast<size_t>(i)].mlp(), w["mlp"],
            {.pre = nn::norm(w["post_attention_layernorm"], c), .post = {}}, demands) {}

  static decltype(attention) make_attention(const nn::Config& c, const nn::Weights& w, int64_t i,
                                            nn::Demands& demands) {
    const nn::AttentionConfig& a = *c.layers[static_cast<size_t>(i)].attention();
    nn::BlockNorms norms{.pre = nn::norm(w["input_layernorm"], c), .post = {}};
    if (i < c.n_layers) return nn::Attention(c, a, w["self_attn"], std::move(norms), demands);
    return MixedAttention(c, a, w, std::move(norms), i - c.n_layers, demands);
  }

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return mlp(std::visit([&](const auto& part) { return part(x, step); }, attention), step);
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer>(std::move(config), weights);
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.rope_theta = 5e5});
  c.n_loops = static_cast<int32_t>(s.integer({"loop_num", ""}).value_or(2));
  if (c.n_loops != 2)
    fail(ErrorKind::unsupported, "{}: loop_num is {}, supported is 2", s.where(), c.n_loops);
  const int64_t window = s.integer({"loop_window_size", ""}).value_or(64);
  std::vector<nn::LayerConfig> again = c.layers;
  for (nn::LayerConfig& layer : again) layer.attention()->sliding_window = window;
  c.layers.insert(c.layers.end(), again.begin(), again.end());
  return c;
}

constexpr TensorName kTensors[] = {{"^model.gate_projections.", "model.layers."}};
constexpr std::string_view kNames[] = {"iquestloopcoder"};

}  // namespace

// IQuest-Coder's loop models; as mlx-lm 0.32.2 models/iquestloopcoder.py. The layers run twice; the second time
// each head mixes what the first time kept with a window of its own.
extern const Family family{.names = kNames, .read = read, .make = make, .hf_names = kTensors};

}  // namespace sluice::models::families::iquestloopcoder
