#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::ministral3 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  // ggml's converter permutes q and k for interleaved pairs.
  nn::Config c =
      read_decoder(s, w, {.rope_theta = 1e6, .interleaved = s.is_gguf(), .slides = every_layer});
  const auto beta =
      s.number({"rope_parameters/llama_4_scaling_beta", "%.attention.temperature_scale"});
  const auto original = s.integer({"rope_parameters/original_max_position_embeddings",
                                   "%.rope.scaling.original_context_length"});
  if (!beta || original.value_or(0) < 1) return c;
  each_attention(c, [&](nn::AttentionConfig& a) {
    a.position = {.beta = static_cast<float>(*beta), .original = *original};
  });
  return c;
}

constexpr std::string_view kNames[] = {"ministral3", "mistral3"};

}  // namespace

// Ministral 3 and Mistral Small 3.2 and later; as mlx-lm 0.32.2 models/ministral3.py. Llama whose queries grow with their
// position.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::ministral3
