#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::cohere2 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.n_kv_heads = 8,
                               .head_dim = 128,
                               .rms_norm_eps = 1e-5,
                               .norm_eps_key = "layer_norm_eps",
                               .centered_norms = true,
                               .rope_theta = 5e4,
                               .interleaved = true,
                               .sliding_window = 4096,
                               .slides = all_but_every<4>});
  c.tie_word_embeddings = true;
  c.logits_scale = static_cast<float>(s.number({"logit_scale", "%.logit_scale"}).value_or(0.0625));
  rotate_where_sliding(c);
  for (const char* told :
       {"layer_norm_bias", "use_qk_norm", "use_parallel_block", "use_parallel_embedding",
        "use_gated_activation", "position_embedding_type", "rotary_pct",
        "order_of_interleaved_layers", "layer_switch", "use_embedding_sharing"})
    s.ignore({told, ""});
  return c;
}

constexpr std::string_view kNames[] = {"cohere2", "cohere2_text"};

}  // namespace

// Command R7B and Command A, arXiv:2504.00698; as mlx-lm 0.32.2 models/cohere2.py. Both blocks beside each other after one
// norm; three of four layers have a window and rotate, the fourth sees all and does not; tied, scaled logits.
extern const Family family{.names = kNames, .read = read, .make = make_parallel};

}  // namespace sluice::models::families::cohere2
