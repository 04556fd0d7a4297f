#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/mlp.h"
#include "sluice/ops/elementwise.h"

namespace sluice::models::families::talkie {
namespace {

/// The number that is all of a tensor.
float scalar(const nn::Weights& w) {
  const ops::Vector found = w.values(1);
  return found->empty() ? 1.0F : found->front();
}

/// The normed embedding goes to every layer.
struct Embedded {
  Embedded(const nn::Config&, const nn::Weights&, nn::Demands&) {}
  mx::array operator()(const mx::array& x, const nn::Step&) const { return x; }
};

struct Layer {
  nn::Attention attention;
  nn::GatedMlp mlp;
  float of_embedding;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : attention(c, *c.layers[static_cast<size_t>(i)].attention(), w["self_attn"],
                  {.pre = nn::norm(w, c), .post = {}, .scale = gain(w["attn_gain"])}, demands),
        mlp(c, c.layers[static_cast<size_t>(i)].mlp(), w["mlp"],
            {.pre = nn::norm(w, c), .post = {}, .scale = gain(w["mlp_gain"])}, demands),
        of_embedding(scalar(w["embed_skip"])) {}

  /// ggml's converter has it in the matrices, or beside them.
  static float gain(const nn::Weights& w) { return w.has() ? scalar(w) : 1.0F; }

  mx::array operator()(const mx::array& x, const nn::Step& step, const mx::array& embedded) const {
    const mx::array skip = ops::scale(step.context, embedded, of_embedding);
    return ops::add(step.context, mlp(attention(x, step), step), skip);
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer, Embedded>(std::move(config), weights);
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  constexpr double kFloat32Eps = 1.1920928955078125e-07;
  nn::Config c = read_decoder(s, w, {.rms_norm_eps = kFloat32Eps, .rope_theta = 1e6});
  c.unit_norms = true;
  c.embedding_norm = true;
  c.tie_word_embeddings = false;
  const auto logits_scale = s.number({"", "%.logit_scale"});
  c.logits_scale =
      logits_scale ? static_cast<float>(*logits_scale) : scalar(nn::Weights(w)["lm_head_gain"]);
  each_attention(c, [&](nn::AttentionConfig& a) {
    a.unit_norms = true;
    a.norm_last = true;
    if (!s.is_gguf())  // it turns backward; ggml's converter mirrors the rows
      a.rope.divisors.assign(static_cast<size_t>(a.rope.dims / 2), -1.0);
  });
  return c;
}

constexpr TensorName kTensors[] = {
    {"model.embed.", "model.embed_tokens."},     {"^model.blocks.", "model.layers."},
    {"lm_head_gain.w_g", "lm_head_gain"},        {".attn.attn_query.", ".self_attn.q_proj."},
    {".attn.attn_key.", ".self_attn.k_proj."},   {".attn.attn_value.", ".self_attn.v_proj."},
    {".attn.attn_resid.", ".self_attn.o_proj."}, {".attn.head_gain.head_g", ".self_attn.head_gain"},
    {".mlp.mlp_gate.", ".mlp.gate_proj."},       {".mlp.mlp_linear.", ".mlp.up_proj."},
    {".mlp.mlp_resid.", ".mlp.down_proj."},      {"_gain.a_g", "_gain"},
    {".embed_skip.a_g", ".embed_skip"}};
constexpr TensorName kGgufTensors[] = {{"attn_q_norm.weight", "self_attn.head_gain"},
                                       {"attn_output.scale", "attn_gain"},
                                       {"ffn_down.scale", "mlp_gain"},
                                       {"layer_output_scale.weight", "embed_skip"}};
constexpr std::string_view kNames[] = {"talkie"};

}  // namespace

// Talkie; as mlx-lm 0.32.2 models/talkie.py. No norm has weights; queries have a gain of each head after their norm, which comes
// after a rotation that goes backward; each layer adds the embedding once more.
extern const Family family{
    .names = kNames, .read = read, .make = make, .gguf_names = kGgufTensors, .hf_names = kTensors};

}  // namespace sluice::models::families::talkie
