#include <algorithm>
#include <cmath>
#include <variant>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/models/per_layer_inputs.h"
#include "sluice/nn/altup.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/mlp.h"
#include "sluice/ops/elementwise.h"

namespace sluice::models::families::gemma3n {
namespace {

// Longer than most: streams, a low-rank residual, sparse GELUs and inputs of each layer's own meet in this family alone.

constexpr auto kGelu = kernels::Activation::gelu_tanh;
constexpr int64_t kStreams = 4;  // of which the first goes through the layers

ops::Streams streams_of(const nn::Config& c) { return {kStreams, c.hidden_size, 0}; }

/// Inputs of each layer's own; and what is before the first layer and after the last.
class Inputs {
 public:
  Inputs(const nn::Config& c, const nn::Weights& w, nn::Demands& demands)
      : per_layer_(c, w, demands), width_(c.hidden_size), ends_(c, streams_of(c), w, demands) {}

  std::optional<mx::array> operator()(const mx::array& x, const nn::Step& step) const {
    return per_layer_(ops::take_columns(step.context, x, {{0, width_}}), step);
  }
  mx::array begin(const mx::array& x, const nn::Step& step) const { return ends_.begin(x, step); }
  mx::array end(const mx::array& x, const nn::Step& step, const std::optional<mx::array>&) const {
    return ends_.end(x, step);
  }

 private:
  PerLayerInputs per_layer_;
  int64_t width_;
  nn::StreamEnds ends_;
};

struct Layer {
  using FeedForward = std::variant<nn::GatedMlp, nn::SparseGelu>;
  int64_t index;
  ops::Streams streams;
  nn::AltUp altup;
  ops::Norm input_norm;
  nn::Attention attention;
  FeedForward feed_forward;
  std::vector<ops::Projection> left, gate, projection;  // one each
  ops::Projection right;
  ops::BlockEnd laurel_end;
  ops::Norm end;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : index(i),
        streams(streams_of(c)),
        altup(c, streams, w["altup"]),
        input_norm(nn::norm(w["input_layernorm"], c)),
        attention(c, *c.layers[static_cast<size_t>(i)].attention(), w["self_attn"],
                  {.pre = input_norm, .post = nn::norm(w["post_attention_layernorm"], c)}, demands),
        feed_forward(make_feed_forward(c, w, i, demands)),
        end(nn::norm(w["post_per_layer_input_norm"], c)) {
    const int64_t rank = w["laurel"]["linear_left"].shape()[0];
    left = {nn::linear(w["laurel"]["linear_left"], c.hidden_size, rank)};
    right = nn::linear(w["laurel"]["linear_right"], rank, c.hidden_size);
    laurel_end.norm = nn::norm(w["laurel"]["post_laurel_norm"], c);
    const int64_t width = w["per_layer_input_gate"].shape()[0];
    gate = {nn::linear(w["per_layer_input_gate"], c.hidden_size, width)};
    projection = {nn::linear(w["per_layer_projection"], width, c.hidden_size)};
  }

  static FeedForward make_feed_forward(const nn::Config& c, const nn::Weights& w, int64_t i,
                                       nn::Demands& demands) {
    const nn::MlpConfig& mlp = c.layers[static_cast<size_t>(i)].mlp();
    const nn::BlockNorms norms{.pre = nn::norm(w["pre_feedforward_layernorm"], c),
                               .post = nn::norm(w["post_feedforward_layernorm"], c)};
    if (mlp.cutoff) return nn::SparseGelu(c, mlp, w["mlp"], norms, demands);
    return nn::GatedMlp(c, mlp, w["mlp"], norms, demands);
  }

  mx::array operator()(const mx::array& x, const nn::Step& step,
                       const std::optional<mx::array>& inputs) const {
    const ops::Context& context = step.context;
    const mx::array predicted = altup.predict(x, step);
    const mx::array chosen = altup.active(predicted, step);
    const mx::array normed = ops::rms_norm(context, chosen, input_norm);
    const mx::array laurel = ops::project_onto(
        context, ops::project(context, normed, std::nullopt, left)[0], right, laurel_end, normed);
    const mx::array attended =
        ops::scale(context, ops::add(context, attention(chosen, step), laurel), std::sqrt(0.5F));
    const mx::array y =
        std::visit([&](const auto& part) { return part(attended, step); }, feed_forward);
    const mx::array corrected = altup.correct(predicted, y, step);
    return ops::add_to_later_streams(context, corrected, from_input(corrected, step, inputs),
                                     streams);
  }

  /// What the layer's own input gives: it is gated by the active stream.
  mx::array from_input(const mx::array& corrected, const nn::Step& step,
                       const std::optional<mx::array>& inputs) const {
    const ops::Context& context = step.context;
    const int64_t width = gate[0].weight.rows();
    const mx::array own = input_of_layer(step, inputs, index, width);
    const mx::array gates =
        ops::project(context, altup.scaled(corrected, step), std::nullopt, gate)[0];
    const mx::array gated = ops::apply_gate(context, own, gates, kGelu);
    return ops::rms_norm(context, ops::project(context, gated, std::nullopt, projection)[0], end);
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer, Inputs>(std::move(config), weights);
}

/// How many standard deviations above the mean a share p of a normal distribution ends.
double normal_quantile(double p) {
  double low = -40, high = 40;
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(-middle / std::sqrt(2.0)) / 2 < p ? low : high) = middle;
  }
  return low;
}

/// Layers with a window have a base of their own; the last ones attend what the last of their kind before them stored.
void read_layers(nn::Config& c, const Source& s) {
  const int64_t n_shared =
      s.integer({"num_kv_shared_layers", "%.attention.shared_kv_layers"}).value_or(0);
  const double local_base =
      s.number({"rope_local_base_freq", "%.rope.freq_base_swa"}).value_or(1e4);
  const auto widths =
      s.is_gguf() || s.is_array({"intermediate_size", ""})
          ? s.integers_of_layers({"intermediate_size", "%.feed_forward_length"}, c.n_layers, 0)
          : std::vector<int64_t>(c.layers.size(), c.layers[0].mlp().intermediate_size);
  const auto shares =
      s.numbers({"activation_sparsity_pattern", ""}).value_or(std::vector<double>{});
  const auto cutoffs =
      s.numbers({"", "%.activation_sparsity_scale"}).value_or(std::vector<double>{});
  for (const auto& given : {shares, cutoffs}) {
    if (!given.empty() && given.size() != c.layers.size())
      fail(ErrorKind::bad_model, "{}: sparsity of {} layers, there are {}", s.where(), given.size(),
           c.layers.size());
  }
  if (std::ranges::any_of(shares, [](double share) { return !(share >= 0 && share < 1); }))
    fail(ErrorKind::bad_model,
         "{}: activation_sparsity_pattern has shares that are not from 0 to 1", s.where());
  const size_t first_shared = static_cast<size_t>(std::max<int64_t>(0, c.n_layers - n_shared));
  int64_t last_local = -1, last_global = -1;
  for (size_t i = 0; i < c.layers.size(); ++i) {
    nn::AttentionConfig& a = *c.layers[i].attention();
    const bool local = a.sliding_window > 0;
    a.scale = 1;
    a.value_norm = true;
    if (local) a.rope = {.dims = a.rope.dims, .theta = local_base};
    nn::MlpConfig& mlp = c.layers[i].mlp();
    mlp.activation = kGelu;
    mlp.intermediate_size = widths[i];
    if (i < shares.size() && shares[i] > 0)
      mlp.cutoff = static_cast<float>(normal_quantile(shares[i]));
    if (i < cutoffs.size() && std::isfinite(cutoffs[i]))
      mlp.cutoff = static_cast<float>(cutoffs[i]);
    int64_t& last = local ? last_local : last_global;
    if (i < first_shared) {
      last = static_cast<int64_t>(i);
    } else if (last < 0) {
      fail(ErrorKind::bad_model, "{}: layer {} shares keys and values of no layer", s.where(), i);
    } else {
      a.kv_of_layer = last;
    }
  }
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.vocab_size = 262400,
                               .n_heads = 8,
                               .n_kv_heads = 2,
                               .head_dim = 256,
                               .activation = "gelu_pytorch_tanh",
                               .rope_theta = 1e6,
                               .sliding_window = 512,
                               .slides = all_but_every<5>,
                               .any_widths = true});
  read_layers(c, s);
  c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  if (s.integer({"altup_num_inputs", "%.altup.num_inputs"}).value_or(kStreams) != kStreams ||
      s.integer({"altup_active_idx", "%.altup.active_idx"}).value_or(0) != 0) {
    fail(ErrorKind::unsupported, "{}: supported are {} streams, the first of them active",
         s.where(), kStreams);
  }
  if (!s.boolean({"altup_correct_scale", ""}).value_or(true))
    fail(ErrorKind::unsupported, "{}: altup_correct_scale is false", s.where());
  s.ignore({"", "%.embedding_length_per_layer_input"});
  for (const char* told : {"hidden_size_per_layer_input", "vocab_size_per_layer_input",
                           "laurel_rank", "altup_coef_clip", "altup_lr_multiplier"})
    s.ignore({told, ""});
  if (!s.has("final_logit_softcapping")) c.logits_softcap = 30;
  return c;
}

constexpr TensorName kGgufTensors[] = {
    {"per_layer_token_embd", "model.embed_tokens_per_layer"},
    {"per_layer_model_proj", "model.per_layer_model_projection"},
    {"per_layer_proj_norm", "model.per_layer_projection_norm"},
    {"altup_proj", "model.altup_proj"},
    {"altup_unembd_proj", "model.altup_unembd_proj"},
    {"ffn_norm", "pre_feedforward_layernorm"},
    {"inp_gate", "per_layer_input_gate"},
    {"proj", "per_layer_projection"},
    {"post_norm", "post_per_layer_input_norm"},
    {"altup_correct_coef", "altup.correction_coefs"},
    {"altup_correct_scale.weight", "altup.correct_output_scale"},
    {"altup_predict_coef", "altup.prediction_coefs"},
    {"altup_router", "altup.modality_router"},
    {"altup_router_norm", "altup.router_norm"},
    {"laurel_l", "laurel.linear_left"},
    {"laurel_r", "laurel.linear_right"},
    {"laurel_post_norm", "laurel.post_laurel_norm"},
};
constexpr std::string_view kNames[] = {"gemma3n", "gemma3n_text"};

}  // namespace

// Gemma 3n (E2B, E4B), arXiv:2301.13310 and arXiv:2411.07501; as mlx-lm 0.32.2 models/gemma3n.py. Four residual streams of which a
// layer predicts all, runs the first and corrects all (AltUp); a low-rank residual beside attention (LAuReL); gates of some layers
// count only where they are large; inputs of each layer's own; last layers that share keys and values.
extern const Family family{.names = kNames, .read = read, .make = make, .gguf_names = kGgufTensors};

}  // namespace sluice::models::families::gemma3n
