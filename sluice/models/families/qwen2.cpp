#include "sluice/models/family.h"
#include "sluice/models/layers.h"

namespace sluice::models {

// Qwen2, arXiv:2407.10671; as mlx-lm 0.32.2 models/qwen2.py. q, k and v have biases.
extern const Family qwen2{
    .configure = nullptr, .make = make_decoder<PreNormLayer>, .gguf_names = {}};

}  // namespace sluice::models
