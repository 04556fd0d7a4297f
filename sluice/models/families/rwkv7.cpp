#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/rwkv.h"

namespace sluice::models::families::rwkv7 {
namespace {

/// The first layer's values, which later ones are mixed with.
struct FirstValues {
  FirstValues(const nn::Config&, const nn::Weights&, nn::Demands&) {}
  std::shared_ptr<std::optional<mx::array>> operator()(const mx::array&, const nn::Step&) const {
    return std::make_shared<std::optional<mx::array>>();
  }
};

struct Layer {
  std::optional<ops::Norm> first;  // of the embedded tokens
  nn::TimeMix time;
  nn::ChannelMix channels;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : time(c, i, w["attn"], nn::norm(w["attn_norm"], c), demands),
        channels(c, w["ffn"], nn::norm(w["ffn_norm"], c), demands) {
    if (i == 0) first = nn::norm(w["pre_norm"], c);
  }

  mx::array operator()(const mx::array& x, const nn::Step& step,
                       const std::shared_ptr<std::optional<mx::array>>& values) const {
    const mx::array in = first ? ops::rms_norm(step.context, x, *first) : x;
    const nn::TimeMix::Result mixed = time(in, *values, step);
    if (!*values) *values = mixed.values;
    return channels(mixed.x, step);
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer, FirstValues>(std::move(config), weights);
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.rms_norm_eps = 1e-5,
                               .norm_eps_key = "norm_eps",
                               .activation = "sqrelu",
                               .centered_norms = true,
                               .any_layers = true,
                               .headless = true});
  c.rwkv_head_dim = s.integer({"", "%.wkv.head_size"}).value_or(0);
  for (const char* told : {"fuse_norm", "norm_first", "norm_bias"}) s.ignore({told, ""});
  for (const char* rank : {"decay", "iclr", "value_residual_mix", "gate"})
    s.ignore({"", fmt::format("%.attention.{}_lora_rank", rank)});
  for (nn::LayerConfig& layer : c.layers) layer.mixer = nn::NoMixer{};  // the files tell its sizes
  return c;
}

constexpr TensorName kGgufTensors[] = {{"token_embd_norm", "model.layers.0.pre_norm"},
                                       {"attn_norm", "attn_norm"},
                                       {"attn_norm_2", "ffn_norm"},
                                       {"time_mix_lerp_fused.weight", "attn.x_x"},
                                       {"time_mix_receptance", "attn.r_proj"},
                                       {"time_mix_key", "attn.k_proj"},
                                       {"time_mix_value", "attn.v_proj"},
                                       {"time_mix_output", "attn.o_proj"},
                                       {"time_mix_w0.weight", "attn.w_lora.lora.2.bias"},
                                       {"time_mix_w1", "attn.w_lora.lora.0"},
                                       {"time_mix_w2", "attn.w_lora.lora.2"},
                                       {"time_mix_a0.weight", "attn.a_lora.lora.2.bias"},
                                       {"time_mix_a1", "attn.a_lora.lora.0"},
                                       {"time_mix_a2", "attn.a_lora.lora.2"},
                                       {"time_mix_v0.weight", "attn.v_lora.lora.2.bias"},
                                       {"time_mix_v1", "attn.v_lora.lora.0"},
                                       {"time_mix_v2", "attn.v_lora.lora.2"},
                                       {"time_mix_g1", "attn.g_lora.lora.0"},
                                       {"time_mix_g2", "attn.g_lora.lora.2"},
                                       {"time_mix_k_k.weight", "attn.k_k"},
                                       {"time_mix_k_a.weight", "attn.k_a"},
                                       {"time_mix_r_k.weight", "attn.r_k"},
                                       {"time_mix_ln", "attn.g_norm"},
                                       {"channel_mix_lerp_k.weight", "ffn.x_k"},
                                       {"channel_mix_key", "ffn.key"},
                                       {"channel_mix_value", "ffn.value"}};
constexpr TensorName kTensors[] = {{"model.embeddings.", "model.embed_tokens."}};
constexpr std::string_view kNames[] = {"rwkv7"};

}  // namespace

// RWKV-7, arXiv:2503.14456; as mlx-lm 0.32.2 models/rwkv7.py, which keeps the state as precisely as activations. A state
// that erases by one key and writes by another, in all layers; values of later layers are mixed with the first one's.
extern const Family family{
    .names = kNames, .read = read, .make = make, .gguf_names = kGgufTensors, .hf_names = kTensors};

}  // namespace sluice::models::families::rwkv7
