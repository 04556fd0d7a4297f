#include <cmath>

#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::gemma2 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.n_heads = 8,
                               .n_kv_heads = 4,
                               .head_dim = 256,
                               .sliding_window = 4096,
                               .slides = all_but_every<2>});
  read_gemma(c, s, 46);
  c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  for (nn::LayerConfig& layer : c.layers) {
    if (!s.has("attn_logit_softcapping") && !s.is_gguf()) layer.attention()->softcap = 50;
  }
  if (!s.has("final_logit_softcapping") && !s.is_gguf()) c.logits_softcap = 30;
  s.ignore({"sliding_window_size", ""});  // sliding_window once more
  return c;
}

constexpr TensorName kTensors[] = {{"ffn_norm", "pre_feedforward_layernorm"}};

constexpr std::string_view kNames[] = {"gemma2"};

}  // namespace

// Gemma 2, arXiv:2408.00118; as mlx-lm 0.32.2 models/gemma2.py, with the sliding window it lacks.
extern const Family family{
    .names = kNames, .read = read, .make = make_sandwich_norm, .gguf_names = kTensors};

}  // namespace sluice::models::families::gemma2
