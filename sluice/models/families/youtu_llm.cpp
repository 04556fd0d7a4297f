#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::youtu_llm {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  const Defaults defaults{.rope_theta = 1.6e6, .latent = true};
  nn::Config c = read_decoder(s, w, defaults);
  read_latent_attention(c, s, w, defaults);
  const bool interleaved = s.boolean({"rope_traditional", ""}).value_or(true);
  for (nn::LayerConfig& layer : c.layers)
    std::get<nn::LatentAttentionConfig>(layer.mixer).rope.interleaved = interleaved;
  s.ignore({"rope_interleave", ""});
  return c;
}

constexpr std::string_view kNames[] = {"youtu_llm"};

}  // namespace

// Youtu-LLM; as mlx-lm 0.32.2 models/youtu_llm.py. Llama with DeepSeek's latent attention.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::youtu_llm
