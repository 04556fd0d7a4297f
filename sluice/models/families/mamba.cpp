#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/mixer.h"

namespace sluice::models::families::mamba {
namespace {

/// A norm and a mixer.
struct Layer {
  nn::Mixer mixer;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands)
      : mixer(c, c.layers[static_cast<size_t>(i)], w, {.pre = nn::norm(w["norm"], c), .post = {}},
              demands) {}

  mx::array operator()(const mx::array& x, const nn::Step& step) const { return mixer(x, step); }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer>(std::move(config), weights);
}

constexpr Mamba2Keys kMamba2Keys{"num_heads", "head_dim", "state_size", "n_groups", "conv_kernel"};
constexpr MambaKeys kMambaKeys{"state_size", "time_step_rank", "conv_kernel"};

nn::MambaConfig read_first(const Source& s, const nn::Config& c) {
  const int64_t expand = s.integer({"expand", ""}).value_or(2);
  const auto inner = s.integer({"intermediate_size", ""});
  nn::MambaConfig m = read_mamba(s, c, kMambaKeys, inner.value_or(expand * c.hidden_size));
  const double eps = s.number({"mixer_rms_eps", ""}).value_or(1e-6);
  const bool norms = s.boolean({"use_bcdt_rms", "%.ssm.dt_b_c_rms"}).value_or(false);
  if (norms || s.architecture() == "falcon_mamba") m.plain_norm_eps = static_cast<float>(eps);
  return m;
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.rms_norm_eps = 1e-5,
                               .norm_eps_key = "layer_norm_epsilon",
                               .any_layers = true,
                               .headless = true});
  for (const char* told : {"time_step_scale", "time_step_init_scheme", "use_mambapy",
                           "use_falcon_mambapy", "use_associative_scan"})
    s.ignore({told, ""});
  const bool is_second = s.architecture() == "mamba2";
  for (nn::LayerConfig& layer : c.layers) {
    if (is_second) {
      layer.mixer = read_mamba2(s, kMamba2Keys);
    } else {
      layer.mixer = read_first(s, c);
    }
  }
  return c;
}

constexpr TensorName kTensors[] = {{"backbone.", "model."},
                                   {"model.embeddings.", "model.embed_tokens."},
                                   {"model.norm_f.", "model.norm."},
                                   {".mixer.", ".mamba."}};
constexpr TensorName kGgufTensors[] = {{"attn_norm", "norm"}};
constexpr std::string_view kNames[] = {"mamba", "falcon_mamba", "mamba2"};

}  // namespace

// Mamba, arXiv:2312.00752, Falcon Mamba, arXiv:2410.05355, which norms dt, B and C, and Mamba-2, arXiv:2405.21060; as
// mlx-lm 0.32.2 models/mamba.py and mamba2.py, but that norms Mamba-2's result as one (see read_mamba2).
extern const Family family{
    .names = kNames, .read = read, .make = make, .gguf_names = kGgufTensors, .hf_names = kTensors};

}  // namespace sluice::models::families::mamba
