#include <bit>
#include <cmath>

#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::gemma3 {
namespace {

/// The nearest bfloat16, ties to even.
float to_bfloat16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7FFFU + ((bits >> 16) & 1U)) & 0xFFFF0000U);
}

/// Layers with a window have a base of their own, and are stretched only where the file says so.
nn::RopeConfig local_rope(const Source& s, nn::WeightTable& w, const nn::Config& c) {
  constexpr double kTheta = 1e4;
  const auto theta = s.number({"rope_local_base_freq", "%.rope.freq_base_swa"});
  if (has_own_rope(s, "sliding_attention"))
    return read_rope(s, w, c, c.attention()->head_dim, {.rope_theta = theta.value_or(kTheta)},
                     "sliding_attention");
  nn::RopeConfig local = c.attention()->rope;
  local.kind = nn::RopeConfig::Kind::plain;
  local.factor = 1;
  local.theta = theta.value_or(kTheta);
  return local;
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.vocab_size = 262208,
                               .n_heads = 8,
                               .n_kv_heads = 4,
                               .head_dim = 256,
                               .rope_theta = 1e6,
                               .sliding_window = 4096,
                               .slides = all_but_every<6>});
  read_gemma(c, s, 62);
  const float scale = std::sqrt(static_cast<float>(c.hidden_size));
  // transformers and mlx-lm round it, llama.cpp does not.
  c.embedding_scale = s.is_gguf() ? scale : to_bfloat16(scale);
  const nn::RopeConfig local = local_rope(s, w, c);
  for (nn::LayerConfig& layer : c.layers) {
    if (layer.attention()->sliding_window > 0) layer.attention()->rope = local;
  }
  return c;
}

constexpr TensorName kTensors[] = {{"ffn_norm", "pre_feedforward_layernorm"}};
constexpr std::string_view kNames[] = {"gemma3", "gemma3_text"};

}  // namespace

// Gemma 3, arXiv:2503.19786; as mlx-lm 0.32.2 models/gemma3_text.py, and the text part of those
// that see. q_norm and k_norm over each head; two RoPE bases.
extern const Family family{
    .names = kNames, .read = read, .make = make_sandwich_norm, .gguf_names = kTensors};

}  // namespace sluice::models::families::gemma3
