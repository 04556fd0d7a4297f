#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"
#include "sluice/nn/mlp.h"

namespace sluice::models::families::apertus {
namespace {

/// A GGUF has each layer's slopes beside its other numbers.
void read_slopes(nn::Config& c, const Source& s) {
  const auto of = [&](const char* key) {
    const auto values = s.numbers({"", key}).value_or(std::vector<double>{});
    if (values.size() != c.layers.size())
      fail(ErrorKind::bad_model, "{}: {} has {} numbers for {} layers", s.where(), key,
           values.size(), c.n_layers);
    return values;
  };
  const auto p = of("xielu.alpha_p"), n = of("xielu.alpha_n"), beta = of("xielu.beta"),
             eps = of("xielu.eps");
  const auto f = [](double x) { return static_cast<float>(x); };
  for (size_t i = 0; i < c.layers.size(); ++i)
    c.layers[i].mlp().xielu = nn::xielu(f(p[i]), f(n[i]), f(beta[i]), f(eps[i]));
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.activation = "xielu", .gated_mlp = false});
  for (const char* told : {"post_norm", "qk_norm"}) s.ignore({told, ""});
  if (s.is_gguf()) read_slopes(c, s);
  return c;
}

constexpr TensorName kTensors[] = {{".attention_layernorm.", ".input_layernorm."},
                                   {".feedforward_layernorm.", ".post_attention_layernorm."}};
constexpr std::string_view kNames[] = {"apertus"};

}  // namespace

// Apertus, arXiv:2509.14233; as mlx-lm 0.32.2 models/apertus.py. q_norm and k_norm over each head; feed-forward blocks without
// a gate, of an activation whose slopes were trained.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::apertus
