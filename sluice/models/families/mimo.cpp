#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::mimo {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) { return read_decoder(s, w); }

constexpr std::string_view kDrafting[] = {"model.mtp_layers."};
constexpr TensorName kMtpNames[] = {
    {"model.mtp_layers.0.token_layernorm.", "enorm."},
    {"model.mtp_layers.0.hidden_layernorm.", "hnorm."},
    {"model.mtp_layers.0.input_proj.", "eh_proj."},
    {"model.mtp_layers.0.final_layernorm.", "shared_head.norm."},
    {"model.mtp_layers.0.", ""},
};
constexpr MtpForm kMtp{.names = kMtpNames, .state_first = true};
constexpr std::string_view kNames[] = {"mimo"};

}  // namespace

// MiMo, arXiv:2505.07608; as mlx-lm 0.32.2 models/mimo.py. Qwen2's layers.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .drafting = kDrafting, .mtp = &kMtp};

}  // namespace sluice::models::families::mimo
