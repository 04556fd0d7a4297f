#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/mlp.h"

namespace sluice::models {
namespace {

struct Layer {  // OLMo 2, arXiv:2501.00656; as mlx-lm 0.32.2 models/olmo2.py
  // q_norm and k_norm over the whole projection; norms after the blocks only.
  nn::Attention attention;
  nn::GatedMlp mlp;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i)
      : attention(c, w["self_attn"],
                  {.pre = {}, .post = nn::rms_norm(w["post_attention_layernorm"], c)}, i),
        mlp(c, w["mlp"], {.pre = {}, .post = nn::rms_norm(w["post_feedforward_layernorm"], c)}) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return mlp(attention(x, step), step);
  }
};

nn::Config read(const Source& s, nn::WeightTable& w) {
  return read_decoder(s, w, {.rms_norm_eps = 1e-5});
}

}  // namespace

extern const Family olmo2{.read = read, .make = make_decoder<Layer>};

}  // namespace sluice::models
