#include "sluice/models/family.h"
#include "sluice/models/layers.h"

namespace sluice::models {

// Qwen1.5-MoE and Qwen2-MoE, arXiv:2407.10671; as mlx-lm 0.32.2 models/qwen2_moe.py. q, k and v have
// biases; a shared expert behind a sigmoid gate.
extern const Family qwen2_moe{
    .configure = nullptr, .make = make_decoder<PreNormLayer>, .gguf_names = {}};

}  // namespace sluice::models
