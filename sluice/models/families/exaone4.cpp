#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w);
  bool some_local = false;
  each_attention(c, [&](const nn::AttentionConfig& a) { some_local |= a.sliding_window > 0; });
  each_attention(c, [&](nn::AttentionConfig& a) {
    if (some_local && a.sliding_window == 0) a.rope = {.kind = nn::RopeConfig::Kind::none};
  });
  return c;
}

constexpr std::string_view kNames[] = {"exaone4"};

}  // namespace

// EXAONE 4, arXiv:2507.11407; as mlx-lm 0.32.2 models/exaone4.py. Norms after the blocks only, q_norm and k_norm over each
// head; where layers with a window and without alternate, those without do not rotate.
extern const Family exaone4{.names = kNames, .read = read, .make = make_post_norm};

}  // namespace sluice::models
