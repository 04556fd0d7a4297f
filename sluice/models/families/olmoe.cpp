#include "sluice/models/family.h"
#include "sluice/models/layers.h"

namespace sluice::models {

// OLMoE, arXiv:2409.02060; as mlx-lm 0.32.2 models/olmoe.py. q_norm and k_norm over the whole projection.
extern const Family olmoe{
    .configure = nullptr, .make = make_decoder<PreNormLayer>, .gguf_names = {}};

}  // namespace sluice::models
