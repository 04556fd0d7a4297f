#include "sluice/models/family.h"
#include "sluice/models/layers.h"

namespace sluice::models {
namespace {

constexpr GgufName kNames[] = {{"ffn_up", "mlp.gate_up_proj"}};

}  // namespace

// Phi-3, arXiv:2404.14219; as mlx-lm 0.32.2 models/phi3.py. Fused qkv_proj and gate_up_proj.
extern const Family phi3{
    .configure = nullptr, .make = make_decoder<PreNormLayer>, .gguf_names = kNames};

}  // namespace sluice::models
