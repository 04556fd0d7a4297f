#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::phi {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.rms_norm_eps = 1e-5,
                               .norm_eps_key = "layer_norm_eps",
                               .activation = "gelu_new",
                               .gated_mlp = false,
                               .centered_norms = true,
                               .rotary_share = 0.4});
  s.ignore({"qk_layernorm", ""});  // the files tell
  return c;
}

constexpr TensorName kTensors[] = {{".self_attn.dense.", ".self_attn.o_proj."},
                                   {"model.final_layernorm.", "model.norm."},
                                   {".mlp.fc1.", ".mlp.up_proj."},
                                   {".mlp.fc2.", ".mlp.down_proj."}};
constexpr std::string_view kNames[] = {"phi", "phi2"};

}  // namespace

// Phi 1, 1.5 and 2, arXiv:2309.05463; as mlx-lm 0.32.2 models/phi.py. Both blocks beside each other after one norm, biases
// everywhere, partial RoPE.
extern const Family family{
    .names = kNames, .read = read, .make = make_parallel, .hf_names = kTensors};

}  // namespace sluice::models::families::phi
