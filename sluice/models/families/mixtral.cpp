#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::mixtral {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(
      s, w, {.n_kv_heads = 8, .rms_norm_eps = 1e-5, .rope_theta = 1e6, .slides = every_layer});
  each_moe(c, [](nn::MoeConfig& moe) {
    moe.router.scoring = ops::RouterSpec::Scoring::top_k_then_softmax;
  });
  return c;
}

constexpr TensorName kTensors[] = {{".block_sparse_moe.", ".mlp."},
                                   {".w1.", ".gate_proj."},
                                   {".w2.", ".down_proj."},
                                   {".w3.", ".up_proj."}};

constexpr std::string_view kNames[] = {"mixtral"};

}  // namespace

// Mixtral, arXiv:2401.04088; as mlx-lm 0.32.2 models/mixtral.py. Every layer is sparse.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::mixtral
