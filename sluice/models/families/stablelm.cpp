#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"
#include "sluice/nn/model.h"

namespace sluice::models::families::stablelm {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.rms_norm_eps = 1e-5,
                               .norm_eps_key = "layer_norm_eps",
                               .centered_norms = true,
                               .rotary_share = 0.25});
  for (const char* told : {"use_parallel_residual", "qk_layernorm", "use_qkv_bias"})
    s.ignore({told, ""});  // the files tell
  s.ignore({"", "%.use_parallel_residual"});
  return c;
}

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  const bool one_norm = !weights["model.layers.0.post_attention_layernorm"].has();
  return (one_norm ? make_parallel : make_pre_norm)(std::move(config), weights);
}

constexpr TensorName kTensors[] = {{".q_layernorm.", ".q_norm."}, {".k_layernorm.", ".k_norm."}};

constexpr std::string_view kNames[] = {"stablelm"};

}  // namespace

// StableLM 2, arXiv:2402.17834; as mlx-lm 0.32.2 models/stablelm.py. Llama with layer norms and partial RoPE; 12B has both blocks
// beside each other after one norm, and norms the queries and keys of each head by weights of its own.
extern const Family family{.names = kNames, .read = read, .make = make, .hf_names = kTensors};

}  // namespace sluice::models::families::stablelm
