#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::smollm3 {
namespace {

/// Whether a layer rotates: every fourth does not, where the file has no list.
bool rotates(const std::optional<std::vector<double>>& flags, int64_t interval, int64_t layer) {
  const auto i = static_cast<size_t>(layer);
  return flags ? i < flags->size() && (*flags)[i] != 0 : (layer + 1) % interval != 0;
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  const auto flags = s.numbers({"no_rope_layers", ""});
  const int64_t interval =
      std::max<int64_t>(1, s.integer({"no_rope_layer_interval", ""}).value_or(4));
  const auto still = [&](int64_t layer) { return !rotates(flags, interval, layer); };
  nn::Config c = read_qwen(s, w, {.n_kv_heads = 4, .rope_theta = 2e6, .slides = still});
  if (flags && flags->size() != c.layers.size()) {
    fail(ErrorKind::bad_model, "{}: no_rope_layers has {} entries for {} layers", s.where(),
         flags->size(), c.n_layers);
  }
  for (int64_t i = 0; i < c.n_layers; ++i) {
    nn::RopeConfig& rope = c.layers[static_cast<size_t>(i)].attention()->rope;
    rope.interleaved = s.is_gguf();  // ggml's converter permutes q and k for interleaved pairs
    if (still(i)) rope = {.kind = nn::RopeConfig::Kind::none};
  }
  return c;
}

constexpr std::string_view kNames[] = {"smollm3"};

}  // namespace

// SmolLM3; as mlx-lm 0.32.2 models/smollm3.py. Llama with no RoPE in some layers
// (arXiv:2305.19466).
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::smollm3
