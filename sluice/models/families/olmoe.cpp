#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::olmoe {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  return read_decoder(s, w, {.rms_norm_eps = 1e-5});
}

constexpr std::string_view kNames[] = {"olmoe"};

}  // namespace

// OLMoE, arXiv:2409.02060; as mlx-lm 0.32.2 models/olmoe.py. q_norm and k_norm over the whole
// projection.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::olmoe
