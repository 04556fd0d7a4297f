#include <algorithm>
#include <array>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/mamba2.h"
#include "sluice/nn/mlp.h"

namespace sluice::models::families::falcon_h1 {
namespace {

/// Attention and Mamba-2 beside each other on one norm, both added to x.
struct Layer {
  nn::Attention attention;
  nn::Mamba2 mamba;
  nn::GatedMlp mlp;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : Layer(c, c.layers[static_cast<size_t>(i)], w, demands) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return mlp(mamba(x, attention(x, step), step), step);
  }

 private:
  Layer(const nn::Config& c, const nn::LayerConfig& layer, const nn::Weights& w,
        nn::Demands& demands)
      : attention(c, *layer.attention(), w["self_attn"], pre(w["input_layernorm"], c), demands),
        mamba(c, *layer.beside, w["mamba"], pre(w["input_layernorm"], c), demands),
        mlp(c, layer.mlp(), w["mlp"], pre(w["post_attention_layernorm"], c), demands) {}

  static nn::BlockNorms pre(const nn::Weights& w, const nn::Config& c) {
    return {.pre = nn::norm(w, c), .post = {}};
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer>(std::move(config), weights);
}

/// As many factors, which are not 0; 1 where there are none.
template <size_t n>
std::array<float, n> factors(const Source& s, const char* key) {
  std::array<float, n> all;
  all.fill(1);
  if (const auto given = s.numbers({key, ""})) {
    if (given->size() != n || std::ranges::count(*given, 0.0) > 0)
      fail(ErrorKind::bad_model, "{}: {} has {} numbers, wanted {} that are not 0", s.where(), key,
           given->size(), n);
    std::ranges::transform(*given, all.begin(), [](double f) { return static_cast<float>(f); });
  }
  return all;
}

float factor(const Source& s, const char* key) {
  return static_cast<float>(s.number({key, ""}).value_or(1));
}

/// Factors of what weights give. ggml's converter multiplies all of them into the weights, mlx-lm's all but those of
/// keys, which it forgets, and of values.
void read_multipliers(nn::Config& c, const Source& s, bool as_published) {
  const float in = factor(s, "attention_in_multiplier"), key = factor(s, "key_multiplier");
  const float out = factor(s, "attention_out_multiplier");
  const float embedding = factor(s, "embedding_multiplier"), head = factor(s, "lm_head_multiplier");
  const float ssm_in = factor(s, "ssm_in_multiplier"), ssm_out = factor(s, "ssm_out_multiplier");
  const auto of_mlp = factors<2>(s, "mlp_multipliers");
  auto of_ssm = factors<5>(s, "ssm_multipliers");
  for (float& of : of_ssm) of *= ssm_in;
  if (as_published) {
    c.embedding_scale = embedding;
    c.logits_scale = head;
  } else if (c.tie_word_embeddings) {
    c.logits_scale = head / embedding;
  }
  for (nn::LayerConfig& layer : c.layers) {
    nn::AttentionConfig& a = *layer.attention();
    a.scale *= as_published ? in * in * key : key;
    a.out_scale = as_published ? in * out : in;
    if (!as_published) continue;
    layer.beside->scales = of_ssm;
    layer.beside->out_scale = ssm_out;
    layer.mlp().gate_scale = of_mlp[0];
    layer.mlp().out_scale = of_mlp[1];
  }
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.rms_norm_eps = 1e-5});
  nn::Mamba2Config mamba = read_mamba2(s, kBambaKeys);
  s.ignore({"mamba_d_ssm", ""});
  s.ignore({"mamba_use_mlp", ""});
  const bool norms = w.find("model.layers.0.mamba.norm.weight") != nullptr;
  if (!norms) mamba.n_norm_groups = 0;
  s.boolean({"mamba_rms_norm", ""});
  if (norms && s.boolean({"mamba_norm_before_gate", ""}).value_or(!s.is_gguf()))
    fail(ErrorKind::unsupported, "{}: mamba_norm_before_gate with a norm is not supported",
         s.where());
  s.ignore({"mamba_norm_before_gate", ""});
  for (nn::LayerConfig& layer : c.layers) layer.beside = mamba;
  const io::TensorInfo* const conv = w.find("model.layers.0.mamba.conv1d.weight");
  const bool as_published = conv != nullptr && conv->shape.size() == 3 && conv->shape[1] == 1;
  if (!s.is_gguf()) read_multipliers(c, s, as_published);
  return c;
}

constexpr TensorName kTensors[] = {{"model.final_layernorm.", "model.norm."},
                                   {".pre_ff_layernorm.", ".post_attention_layernorm."},
                                   {".feed_forward.", ".mlp."}};
constexpr TensorName kGgufTensors[] = {{"ffn_norm", "post_attention_layernorm.weight"}};
constexpr std::string_view kNames[] = {"falcon_h1", "falcon-h1"};

}  // namespace

// Falcon-H1, arXiv:2507.22448; as mlx-lm 0.32.2 models/falcon_h1.py, but for two factors that its conversion forgets, and
// the norm of Mamba's result, which is published by groups.
extern const Family family{
    .names = kNames, .read = read, .make = make, .gguf_names = kGgufTensors, .hf_names = kTensors};

}  // namespace sluice::models::families::falcon_h1
