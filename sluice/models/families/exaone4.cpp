#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::exaone4 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w);
  rotate_where_sliding(c);
  return c;
}

constexpr std::string_view kNames[] = {"exaone4"};

}  // namespace

// EXAONE 4, arXiv:2507.11407; as mlx-lm 0.32.2 models/exaone4.py. Norms after the blocks only, q_norm and k_norm over each
// head; where layers with a window and without alternate, those without do not rotate.
extern const Family family{.names = kNames, .read = read, .make = make_post_norm};

}  // namespace sluice::models::families::exaone4
