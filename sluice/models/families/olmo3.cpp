#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::olmo3 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.rms_norm_eps = 1e-5, .slides = all_but_every<4>});
  stretch_where_not_sliding(c);
  return c;
}

constexpr std::string_view kNames[] = {"olmo3"};

}  // namespace

// OLMo 3; as mlx-lm 0.32.2 models/olmo3.py. OLMo 2 with sliding windows, whose RoPE is not stretched.
extern const Family family{.names = kNames, .read = read, .make = make_post_norm};

}  // namespace sluice::models::families::olmo3
