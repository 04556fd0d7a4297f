#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::gpt_oss {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.n_heads = 64,
                               .n_kv_heads = 8,
                               .head_dim = 64,
                               .rms_norm_eps = 1e-5,
                               .rope_theta = 150000,
                               .sliding_window = 128,
                               .slides = all_but_every<2>});
  const double limit = s.number({"swiglu_limit", ""}).value_or(7.0);
  if (const double alpha = s.number({"swiglu_alpha", ""}).value_or(1.702); alpha != 1.702)
    fail(ErrorKind::unsupported, "{}: swiglu_alpha is {}, supported is 1.702", s.where(), alpha);
  for (nn::LayerConfig& layer : c.layers) {
    layer.mlp().activation = kernels::Activation::swiglu_clipped;
    layer.mlp().activation_limit = static_cast<float>(limit);
    if (layer.moe() != nullptr)
      layer.moe()->router.scoring = ops::RouterSpec::Scoring::top_k_then_softmax;
  }
  s.ignore({"experts_per_token", ""});  // num_experts_per_tok once more
  return c;
}

// As published: gate and up rows interleaved, MXFP4 blocks and scales apart.
constexpr TensorName kTensors[] = {
    {".mlp.router.", ".mlp.gate."},
    {".experts.gate_up_proj_blocks", ".experts.gate_up_interleaved.weight"},
    {".experts.gate_up_proj_scales", ".experts.gate_up_interleaved.scales"},
    {".experts.gate_up_proj_bias", ".experts.gate_up_interleaved.bias"},
    {".experts.down_proj_blocks", ".experts.down_proj.weight"},
    {".experts.down_proj_scales", ".experts.down_proj.scales"},
    {".experts.down_proj_bias", ".experts.down_proj.bias"},
};

constexpr std::string_view kNames[] = {"gpt_oss", "gpt-oss"};

}  // namespace

// gpt-oss, arXiv:2508.10925; as mlx-lm 0.32.2 models/gpt_oss.py. A learned sink per head, biases
// everywhere, every second layer with a sliding window, every layer sparse, clipped SwiGLU.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::gpt_oss
