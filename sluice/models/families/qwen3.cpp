#include "sluice/models/family.h"
#include "sluice/models/layers.h"

namespace sluice::models {

// Qwen3, arXiv:2505.09388; as mlx-lm 0.32.2 models/qwen3.py. q_norm and k_norm over each head, before
// RoPE.
extern const Family qwen3{
    .configure = nullptr, .make = make_decoder<PreNormLayer>, .gguf_names = {}};

}  // namespace sluice::models
