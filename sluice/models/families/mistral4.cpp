#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::mistral4 {
namespace {

constexpr double kPublishedBeta = 0.1;

nn::Config read(const Source& s, nn::WeightTable& w) {
  const Defaults defaults{.renormalize = true, .rope_theta = 1e5, .latent = true};
  nn::Config c = read_decoder(s, w, defaults);
  read_latent_attention(c, s, w, defaults);
  // llama.cpp's converter leaves it out.
  const double beta =
      s.number({"rope_parameters/llama_4_scaling_beta", "%.attention.temperature_scale"})
          .value_or(s.is_gguf() ? kPublishedBeta : 0);
  const int64_t original = s.integer({"rope_parameters/original_max_position_embeddings",
                                      "%.rope.scaling.original_context_length"})
                               .value_or(0);
  const bool interleaved = s.boolean({"rope_interleave", ""}).value_or(true);
  for (nn::LayerConfig& layer : c.layers) {
    auto& a = std::get<nn::LatentAttentionConfig>(layer.mixer);
    a.rope.interleaved = interleaved;
    if (!s.is_gguf()) a.latent_eps = 1e-6F;  // the reference's own constant
    if (beta != 0 && original > 0)
      a.position = {.beta = static_cast<float>(beta), .original = original};
  }
  for (const char* told : {"topk_method", "moe_layer_freq"}) s.ignore({told, ""});
  each_moe(c, [](nn::MoeConfig& moe) { moe.router.least_sum = 1e-20F; });
  return c;
}

constexpr TensorName kTensors[] = {{".mlp.shared_experts.", ".mlp.shared_expert."}};
constexpr std::string_view kNames[] = {"mistral4"};

}  // namespace

// Mistral Small 4; as mlx-lm 0.32.2 models/mistral4.py. DeepSeek's latent attention with queries that grow with their
// position; experts by softmax.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .gguf_names = kLatentTensors,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::mistral4
