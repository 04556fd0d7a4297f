#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::nanbeige {
namespace {

/// How often the layers run: one more than there are losses of loops, where the file has those.
int64_t count_loops(const Source& s) {
  const auto losses = s.numbers({"loop_loss_weights", ""});
  const int64_t told = s.integer({"num_loops", "%.num_loops"}).value_or(1);
  const int64_t loops =
      losses && !losses->empty() ? static_cast<int64_t>(losses->size()) + 1 : told;
  constexpr int64_t kMost = 64;
  if (loops < 1 || loops > kMost)
    fail(ErrorKind::bad_model, "{}: {} loops over the layers, wanted 1 to {}", s.where(), loops,
         kMost);
  return loops;
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  // ggml's converter permutes q and k for interleaved pairs.
  nn::Config c = read_decoder(s, w, {.interleaved = s.is_gguf()});
  for (const char* other :
       {"enable_double_loop_split", "loop_share_kv", "enable_depth_attention"}) {
    if (s.boolean({other, ""}).value_or(false))
      fail(ErrorKind::unsupported, "{}: {} is true, which is not supported", s.where(), other);
  }
  c.n_loops = static_cast<int32_t>(count_loops(s));
  c.norm_every_loop =
      !s.boolean({"skip_loop_final_norm", "%.skip_loop_final_norm"}).value_or(false);
  const std::vector<nn::LayerConfig> once = c.layers;
  for (int64_t i = 1; i < c.n_loops; ++i) c.layers.insert(c.layers.end(), once.begin(), once.end());
  return c;
}

constexpr std::string_view kNames[] = {"nanbeige"};

}  // namespace

// Nanbeige 4; as mlx-lm 0.32.2 models/nanbeige.py. Llama whose layers run several times, each time with keys and values of
// their own.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::nanbeige
