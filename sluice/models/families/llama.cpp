#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::llama {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  // ggml's converter permutes q and k for interleaved pairs.
  nn::Config c = read_decoder(s, w, {.interleaved = s.is_gguf()});
  if (s.is_gguf()) {
    each_moe(c, [](nn::MoeConfig& moe) {
      moe.router.scoring = ops::RouterSpec::Scoring::top_k_then_softmax;
    });
  }
  return c;
}

constexpr std::string_view kNames[] = {"llama", "iquestcoder", "internlm3", "xverse", "telechat3"};

}  // namespace

// Llama, arXiv:2302.13971; as mlx-lm 0.32.2 models/llama.py. A GGUF of Mistral or Mixtral says
// "llama" too; InternLM3, IQuest-Coder, XVERSE and TeleChat3 are it by another name.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::llama
