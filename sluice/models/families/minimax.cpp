#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::minimax {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.renormalize = true});
  const auto rotated = s.integer({"rotary_dim", ""});
  each_attention(c, [&](nn::AttentionConfig& a) {
    if (rotated && *rotated <= a.head_dim) a.rope.dims = *rotated;
  });
  for (const char* told : {"use_qk_norm", "qk_norm_type", "use_routing_bias", "num_mtp_modules",
                           "mtp_transformer_layers", "use_mtp", "shared_intermediate_size"})
    s.ignore({told, ""});
  each_moe(c, [](nn::MoeConfig& moe) {
    moe.router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
    moe.router.least_sum = 1e-20F;
  });
  return c;
}

constexpr TensorName kTensors[] = {
    {".block_sparse_moe.e_score_correction_bias", ".mlp.gate.e_score_correction_bias"},
    {".block_sparse_moe.", ".mlp."},
    {".w1.", ".gate_proj."},
    {".w2.", ".down_proj."},
    {".w3.", ".up_proj."}};
constexpr TensorName kGgufTensors[] = {{"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"}};
constexpr std::string_view kNames[] = {"minimax", "minimax_m2", "minimax-m2"};

}  // namespace

// MiniMax M2; as mlx-lm 0.32.2 models/minimax.py. q_norm and k_norm over the whole projection, partial RoPE, experts chosen by
// sigmoids with a bias.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::minimax
