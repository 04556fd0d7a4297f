#include <cmath>

#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::phimoe {
namespace {

// Phi-3.5-MoE's short_mscale and long_mscale, and what llama.cpp's converter derives from its two lengths in their place.
constexpr double kMagnitude = 1.243163121016122, kDerived = 1.190238071;

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.centered_norms = true, .slides = every_layer});
  const double jitter = s.number({"router_jitter_noise", ""}).value_or(0.01);
  each_moe(c, [&](nn::MoeConfig& moe) {
    moe.router.scoring = ops::RouterSpec::Scoring::sparse_mixer;
    moe.router.jitter = static_cast<float>(jitter);
  });
  for (nn::LayerConfig& layer : c.layers) {
    double& magnitude = layer.attention()->rope.attention_factor;
    if (s.is_gguf() && std::abs(magnitude - kDerived) < 1e-6) magnitude = kMagnitude;
  }
  return c;
}

constexpr TensorName kTensors[] = {{".block_sparse_moe.", ".mlp."},
                                   {".w1.", ".gate_proj."},
                                   {".w2.", ".down_proj."},
                                   {".w3.", ".up_proj."}};
constexpr std::string_view kNames[] = {"phimoe"};

}  // namespace

// Phi-3.5-MoE, arXiv:2404.14219; as mlx-lm 0.32.2 models/phimoe.py. Layer norms, long RoPE, experts by SparseMixer.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::phimoe
