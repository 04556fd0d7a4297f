#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::cohere {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.rms_norm_eps = 1e-5,
                               .norm_eps_key = "layer_norm_eps",
                               .centered_norms = true,
                               .rope_theta = 8e6,
                               .interleaved = true});
  c.tie_word_embeddings = true;
  c.logits_scale = static_cast<float>(s.number({"logit_scale", "%.logit_scale"}).value_or(0.0625));
  for (const char* told : {"layer_norm_bias", "use_qk_norm"}) s.ignore({told, ""});
  return c;
}

constexpr std::string_view kNames[] = {"cohere", "command-r"};

}  // namespace

// Command R and R+; as mlx-lm 0.32.2 models/cohere.py. Both blocks beside each other after one norm; tied, scaled logits; R+
// norms the queries and keys of each head by weights of its own.
extern const Family family{.names = kNames, .read = read, .make = make_parallel};

}  // namespace sluice::models::families::cohere
