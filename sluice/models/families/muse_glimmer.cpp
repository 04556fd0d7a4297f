#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/mlp.h"

namespace sluice::models::families::muse_glimmer {
namespace {

/// Norms before and after both blocks, whose files store (weight - 1); unlike the last norm's. Those after have an epsilon of
/// their own.
struct Layer {
  nn::Attention attention;
  nn::GatedMlp mlp;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : attention(c, *c.layers[static_cast<size_t>(i)].attention(), w["self_attn"],
                  norms(c, w, "input_layernorm", "post_attention_layernorm"), demands),
        mlp(c, c.layers[static_cast<size_t>(i)].mlp(), w["mlp"],
            norms(c, w, "pre_feedforward_layernorm", "post_feedforward_layernorm"), demands) {}

  static nn::BlockNorms norms(const nn::Config& c, const nn::Weights& w, const char* before,
                              const char* after) {
    ops::Norm pre = nn::norm(w[before], c), post = nn::norm(w[after], c);
    pre.weight_offset = post.weight_offset = c.block_norm_offset;
    post.eps = c.post_norm_eps;
    return {.pre = pre, .post = post};
  }

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return mlp(attention(x, step), step);
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer>(std::move(config), weights);
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.n_kv_heads = 2,
                               .head_dim = 128,
                               .rms_norm_eps = 1e-5,
                               .rope_theta = 5e5,
                               .interleaved = s.is_gguf(),  // ggml's converter permutes q and k
                               .sliding_window = 2048,
                               .slides = all_but_every<4>});
  // A GGUF's q_norm has it for weights.
  const auto factor =
      static_cast<float>(s.number({"qk_scale_factor", ""}).value_or(s.is_gguf() ? 1 : 3.87));
  const auto local_theta = s.number({"", "%.rope.freq_base_swa"});
  c.post_norm_eps = static_cast<float>(s.number({"post_norm_eps", ""}).value_or(1e-8));
  c.block_norm_offset = s.is_gguf() ? 0.0F : 1.0F;
  c.embedding_norm = true;
  c.logits_scale = static_cast<float>(
      s.number({"output_multiplier", "%.logit_scale"}).value_or(0.19611613513818404));
  if (!s.is_gguf() && !s.has("final_logit_softcapping")) c.logits_softcap = 20;
  const auto bases = s.numbers({"layer_rope_theta", ""}).value_or(std::vector<double>{});
  if (!bases.empty() && bases.size() != c.layers.size())
    fail(ErrorKind::bad_model, "{}: layer_rope_theta has {} layers, there are {}", s.where(),
         bases.size(), c.layers.size());
  for (size_t i = 0; i < c.layers.size(); ++i) {
    nn::AttentionConfig& a = *c.layers[i].attention();
    a.has_gate = true;
    a.unit_norms = !s.is_gguf();
    a.scale *= factor;  // queries', after their norm
    if (a.sliding_window > 0) a.rope.theta = local_theta.value_or(a.rope.theta);
    const bool rotates = i < bases.size() ? bases[i] != 0 : a.sliding_window > 0;
    if (!rotates) a.rope = {.kind = nn::RopeConfig::Kind::none};
  }
  return c;
}

constexpr TensorName kGgufTensors[] = {{"attn_gate", "self_attn.gate_proj"},
                                       {"ffn_norm", "pre_feedforward_layernorm"}};
constexpr std::string_view kNames[] = {"muse_glimmer", "muse-glimmer"};

}  // namespace

// Muse Glimmer; as mlx-lm 0.32.2 models/muse_glimmer.py. Norms of embeddings, queries and keys without weights; what was attended is
// gated element by element; layers with a window rotate, the others see all.
extern const Family family{.names = kNames, .read = read, .make = make, .gguf_names = kGgufTensors};

}  // namespace sluice::models::families::muse_glimmer
