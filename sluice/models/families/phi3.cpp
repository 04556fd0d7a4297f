#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::phi3 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  return read_decoder(s, w, {.rms_norm_eps = 1e-5, .slides = every_layer});
}

constexpr TensorName kTensors[] = {{"ffn_up", "mlp.gate_up_proj"}};

constexpr std::string_view kNames[] = {"phi3"};

}  // namespace

// Phi-3, arXiv:2404.14219; as mlx-lm 0.32.2 models/phi3.py. Fused qkv_proj and gate_up_proj.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .gguf_names = kTensors};

}  // namespace sluice::models::families::phi3
