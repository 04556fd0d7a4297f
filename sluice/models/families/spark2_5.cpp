#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::spark2_5 {
namespace {

constexpr const char* kLocal = "sliding_attention";

/// RoPE of layers with a window.
nn::RopeConfig local_rope(const Source& s, nn::WeightTable& w, const nn::Config& c) {
  const nn::AttentionConfig& a = *c.attention();
  if (!s.is_gguf()) return read_rope(s, w, c, a.head_dim, {}, kLocal);
  nn::RopeConfig rope{.dims = a.rope.dims, .theta = a.rope.theta};
  rope.dims = s.integer({"", "%.rope.dimension_count_swa"}).value_or(rope.dims);
  rope.theta = s.number({"", "%.rope.freq_base_swa"}).value_or(rope.theta);
  return rope;
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.activation = "gelu", .slides = all_but_every<4>});
  const nn::RopeConfig local = local_rope(s, w, c);
  each_attention(c, [&](nn::AttentionConfig& a) {
    a.has_gate = true;
    if (a.sliding_window > 0) a.rope = local;
  });
  for (nn::LayerConfig& layer : c.layers) layer.mlp().activation = kernels::Activation::gelu;
  for (const char* told : {"gate_attn_act_mode", "headwise_attn_output_gate"}) s.ignore({told, ""});
  return c;
}

constexpr TensorName kTensors[] = {{"model.embedding.", "model.embed_tokens."},
                                   {".self_attn.q_k_v_proj.", ".self_attn.qkv_proj."},
                                   {".self_attn.g_proj.", ".self_attn.gate_proj."},
                                   {".self_attn.out_proj.", ".self_attn.o_proj."}};
constexpr TensorName kGgufTensors[] = {{"attn_gate", "self_attn.gate_proj"}};
constexpr std::string_view kNames[] = {"spark2_5"};

}  // namespace

// Spark X2.5; as mlx-lm 0.32.2 models/spark2_5.py. What was attended is gated head by head; three of four layers have a window
// and a RoPE of their own.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::spark2_5
