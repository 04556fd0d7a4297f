#include <utility>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/linear.h"
#include "sluice/ops/elementwise.h"

namespace sluice::models::families::bitnet {
namespace {

/// down(norm(relu(gate(x))^2 up(x))).
class NormedMlp {
 public:
  NormedMlp(const nn::Config& c, const nn::MlpConfig& mlp, const nn::Weights& w,
            nn::BlockNorms norms, nn::Demands& demands)
      : norms_(std::move(norms)),
        activation_(mlp.activation),
        in_{nn::linear(w["gate_proj"], c.hidden_size, mlp.intermediate_size),
            nn::linear(w["up_proj"], c.hidden_size, mlp.intermediate_size)},
        inner_norm_{w["ffn_sub_norm"]["weight"].vector(mlp.intermediate_size), 0, c.rms_norm_eps},
        down_(nn::linear(w["down_proj"], mlp.intermediate_size, c.hidden_size)) {
    demands.add_rows(4 * mlp.intermediate_size, mlp.intermediate_size);
  }

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    const ops::Context& context = step.context;
    const std::vector<mx::array> in = ops::project(context, x, norms_.pre, in_);
    const mx::array inner = ops::apply_gate(context, in[1], in[0], activation_);
    return ops::project_onto(context, ops::rms_norm(context, inner, inner_norm_), down_,
                             norms_.end(), x);
  }

 private:
  nn::BlockNorms norms_;
  kernels::Activation activation_;
  std::vector<ops::Projection> in_;  // gate, up
  ops::Norm inner_norm_;
  ops::Projection down_;
};

struct Layer {
  nn::Attention attention;
  NormedMlp mlp;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : attention(c, *c.layers[static_cast<size_t>(i)].attention(), w["self_attn"],
                  {.pre = nn::norm(w["input_layernorm"], c), .post = {}}, demands),
        mlp(c, c.layers[static_cast<size_t>(i)].mlp(), w["mlp"],
            {.pre = nn::norm(w["post_attention_layernorm"], c), .post = {}}, demands) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    return mlp(attention(x, step), step);
  }
};

nn::Config read(const Source& s, nn::WeightTable& w) {
  const bool is_told = w.published.method != nn::PublishedQuantization::Method::none;
  if (!s.is_gguf() && !is_told)  // MLX's conversions do not say it
    w.published.method = nn::PublishedQuantization::Method::bitnet;
  nn::Config c = read_decoder(s, w, {.activation = "relu2"});
  if (!s.is_gguf()) return c;
  // A GGUF does not say the function. Models of the first paper have SiLU, and as many key heads as heads.
  const nn::AttentionConfig& a = *c.attention();
  if (a.n_kv_heads != a.n_heads) {
    fail(ErrorKind::unsupported, "{}: BitNet of {} heads, {} for keys, is run from safetensors",
         s.where(), a.n_heads, a.n_kv_heads);
  }
  for (nn::LayerConfig& layer : c.layers) layer.mlp().activation = kernels::Activation::silu;
  return c;
}

constexpr TensorName kTensors[] = {{".attn_sub_norm.", ".sub_norm."}};
constexpr TensorName kGgufTensors[] = {{"attn_sub_norm", "self_attn.sub_norm"},
                                       {"ffn_sub_norm", "mlp.ffn_sub_norm"}};
constexpr std::string_view kNames[] = {"bitnet"};

}  // namespace

// BitNet b1.58, arXiv:2402.17764 and arXiv:2504.12285; as mlx-lm 0.32.2 models/bitnet.py. Weights are -1, 0 or 1 times one number a
// matrix; what o_proj and down_proj get is normed. Activations are not rounded to 8 bits unless --activations says so.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_decoder<Layer>,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::bitnet
