#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::olmo2 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.rms_norm_eps = 1e-5});
  stretch_where_not_sliding(c);  // of OLMo 3, which has this name in a GGUF
  return c;
}

constexpr std::string_view kNames[] = {"olmo2"};

}  // namespace

// OLMo 2, arXiv:2501.00656; as mlx-lm 0.32.2 models/olmo2.py. q_norm and k_norm over the whole projection; norms after
// the blocks only. A GGUF of OLMo 3 says its windows beside this name.
extern const Family family{.names = kNames, .read = read, .make = make_post_norm};

}  // namespace sluice::models::families::olmo2
