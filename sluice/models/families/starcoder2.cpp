#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::starcoder2 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.rms_norm_eps = 1e-5,
                               .norm_eps_key = "norm_epsilon",
                               .activation = "gelu_pytorch_tanh",
                               .gated_mlp = false,
                               .centered_norms = true,
                               .rope_theta = 1e5,
                               .slides = every_layer});
  for (const char* told : {"norm_type", "mlp_type", "use_bias"}) s.ignore({told, ""});
  return c;
}

constexpr TensorName kTensors[] = {{".mlp.c_fc.", ".mlp.up_proj."},
                                   {".mlp.c_proj.", ".mlp.down_proj."}};
constexpr std::string_view kNames[] = {"starcoder2"};

}  // namespace

// StarCoder2, arXiv:2402.19173; as mlx-lm 0.32.2 models/starcoder2.py, with the sliding window it lacks. The activation is
// config.json's, the tanh GELU in what is published, where mlx-lm always takes the exact one. Biases everywhere.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::starcoder2
