#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::glm4 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.rotary_share = 0.5});
  // What the reference's own configuration calls rope_traditional is true unless the file says otherwise.
  const bool interleaved = s.boolean({"rope_traditional", ""}).value_or(true);
  each_attention(c, [&](nn::AttentionConfig& a) { a.rope.interleaved = interleaved; });
  return c;
}

constexpr TensorName kTensors[] = {
    {".post_attention_layernorm.", ".pre_feedforward_layernorm."},
    {".post_self_attn_layernorm.", ".post_attention_layernorm."},
    {".post_mlp_layernorm.", ".post_feedforward_layernorm."},
};
constexpr TensorName kGgufTensors[] = {{"ffn_norm", "pre_feedforward_layernorm"},
                                       {"ffn_up", "mlp.gate_up_proj"}};
constexpr std::string_view kNames[] = {"glm4"};

}  // namespace

// GLM-4-0414; as mlx-lm 0.32.2 models/glm4.py. Norms before and after both blocks, interleaved RoPE over half of a head,
// gate and up fused.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_sandwich_norm,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::glm4
