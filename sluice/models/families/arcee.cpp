#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::arcee {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  // ggml's converter permutes q and k for interleaved pairs.
  return read_decoder(s, w,
                      {.rms_norm_eps = 1e-5,
                       .activation = "relu2",
                       .gated_mlp = false,
                       .interleaved = s.is_gguf()});
}

constexpr std::string_view kNames[] = {"arcee"};

}  // namespace

// Arcee's AFM 4.5B; as transformers 5.23 models/arcee and llama.cpp, of which mlx-lm 0.32.2 has none. Llama whose feed-forward
// blocks have no gate.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::arcee
