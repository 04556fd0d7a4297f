#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::kimi_linear {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) { return read_kimi(s, w); }

constexpr TensorName kTensors[] = {
    {".block_sparse_moe.", ".mlp."},
    {".mlp.shared_experts.", ".mlp.shared_expert."},
    {".mlp.e_score_correction_bias", ".mlp.gate.e_score_correction_bias"},
    {"_conv.conv.", "_conv1d."},
    {".w1.", ".gate_proj."},
    {".w2.", ".down_proj."},
    {".w3.", ".up_proj."}};
constexpr std::string_view kDrafting[] = {"model.mtp"};
constexpr std::string_view kNames[] = {"kimi_linear", "kimi-linear"};

}  // namespace

// Kimi Linear, arXiv:2510.26692; as mlx-lm 0.32.2 models/kimi_linear.py. Kimi delta attention in three of four layers, the
// fourth is latent attention; nothing is rotated; experts chosen by sigmoids with a bias.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .gguf_names = kDeltaTensors,
                           .hf_names = kTensors,
                           .drafting = kDrafting};

}  // namespace sluice::models::families::kimi_linear
