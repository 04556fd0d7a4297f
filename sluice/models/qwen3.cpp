#include "sluice/models/family.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/mlp.h"

namespace sluice::models {
namespace {

struct Layer {              // Qwen3, arXiv:2505.09388; as mlx-lm 0.32.2 models/qwen3.py
  nn::Attention attention;  // q_norm and k_norm over each head, before RoPE
  nn::GatedMlp mlp;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i)
      : attention(c, w["self_attn"], {.pre = nn::RmsNorm(w["input_layernorm"], c), .post = {}}, i),
        mlp(c, w["mlp"], {.pre = nn::RmsNorm(w["post_attention_layernorm"], c), .post = {}}) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return mlp(attention(x, step), step);
  }
};

}  // namespace

extern const Family qwen3{.configure = nullptr, .make = make_decoder<Layer>, .gguf_names = {}};

}  // namespace sluice::models
