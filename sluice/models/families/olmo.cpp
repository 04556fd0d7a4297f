#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::olmo {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  // ggml's converter permutes q and k for interleaved pairs.
  nn::Config c = read_decoder(
      s, w, {.rms_norm_eps = 1e-5, .centered_norms = true, .interleaved = s.is_gguf()});
  c.unit_norms = true;
  const double clip = s.number({"clip_qkv", "%.attention.clamp_kqv"}).value_or(0);
  each_attention(c, [&](nn::AttentionConfig& a) { a.clip = static_cast<float>(clip); });
  return c;
}

constexpr std::string_view kNames[] = {"olmo"};

}  // namespace

// OLMo, arXiv:2402.00838, as transformers has it (mlx-lm 0.32.2 models/olmo.py reads AI2's own older files, and cannot run a
// prompt). Llama with layer norms that have no weights.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::olmo
