#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/layers.h"

namespace sluice::models {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) { return read_qwen(s, w, {}); }

}  // namespace

// Qwen2, arXiv:2407.10671; as mlx-lm 0.32.2 models/qwen2.py. q, k and v have biases.
extern const Family qwen2{.read = read, .make = make_pre_norm};

}  // namespace sluice::models
