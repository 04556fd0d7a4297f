#include "sluice/models/family.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/mlp.h"

namespace sluice::models {
namespace {

struct Layer {              // Phi-3, arXiv:2404.14219; as mlx-lm 0.32.2 models/phi3.py
  nn::Attention attention;  // fused qkv_proj
  nn::GatedMlp mlp;         // fused gate_up_proj

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i)
      : attention(c, w["self_attn"], {.pre = nn::RmsNorm(w["input_layernorm"], c), .post = {}}, i),
        mlp(c, w["mlp"], {.pre = nn::RmsNorm(w["post_attention_layernorm"], c), .post = {}}) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return mlp(attention(x, step), step);
  }
};

constexpr GgufName kNames[] = {{"ffn_up", "mlp.gate_up_proj"}};

}  // namespace

extern const Family phi3{.configure = nullptr, .make = make_decoder<Layer>, .gguf_names = kNames};

}  // namespace sluice::models
