#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::glm {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  return read_decoder(s, w, {.interleaved = true});
}

constexpr std::string_view kNames[] = {"glm"};

}  // namespace

// GLM-4 as transformers publishes it; as mlx-lm 0.32.2 models/glm.py. Interleaved RoPE, gate and up fused, biases on q, k and
// v.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::glm
