#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::glm {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  return read_decoder(s, w, {.interleaved = true});
}

constexpr TensorName kGgufTensors[] = {{"ffn_up", "mlp.gate_up_proj"}};
constexpr std::string_view kNames[] = {"glm", "chatglm"};

}  // namespace

// GLM-4 as transformers publishes it; as mlx-lm 0.32.2 models/glm.py. Interleaved RoPE, gate and up fused, biases on q, k and
// v.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .gguf_names = kGgufTensors};

}  // namespace sluice::models::families::glm
