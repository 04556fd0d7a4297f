#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/mlp.h"

namespace sluice::models {
namespace {

struct
    Layer {  // SmolLM3; as mlx-lm 0.32.2 models/smollm3.py: Llama with no RoPE in some layers (arXiv:2305.19466)
  nn::Attention attention;
  nn::GatedMlp mlp;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i)
      : attention(c, w["self_attn"], {.pre = nn::RmsNorm(w["input_layernorm"], c), .post = {}}, i),
        mlp(c, w["mlp"], {.pre = nn::RmsNorm(w["post_attention_layernorm"], c), .post = {}}) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return mlp(attention(x, step), step);
  }
};

void configure(nn::Config& c, const Source& source) {
  const std::vector<bool> uses_rope = rope_layers(source, c.n_layers);
  for (size_t i = 0; i < c.layers.size(); ++i) {
    c.layers[i].rope.interleaved =
        source.is_gguf();  // ggml's converter permutes q and k for interleaved pairs
    if (!uses_rope[i]) c.layers[i].rope = {.kind = nn::RopeConfig::Kind::none};
  }
}

}  // namespace

extern const Family smollm3{.configure = configure, .make = make_decoder<Layer>, .gguf_names = {}};

}  // namespace sluice::models
