#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::deepseek {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.interleaved = s.is_gguf()});  // whose q and k were permuted
  for (const char* told : {"moe_layer_freq", "norm_topk_prob", "scoring_func"})
    s.ignore({told, ""});
  return c;
}

constexpr TensorName kTensors[] = {{".mlp.shared_experts.", ".mlp.shared_expert."}};
constexpr std::string_view kNames[] = {"deepseek"};

}  // namespace

// DeepSeekMoE 16B, arXiv:2401.06066; as mlx-lm 0.32.2 models/deepseek.py. Llama with many small experts and some that are shared;
// weights of chosen ones are not renormalized.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::deepseek
