#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::mimo {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) { return read_decoder(s, w); }

constexpr std::string_view kDrafting[] = {"model.mtp_layers."};
constexpr std::string_view kNames[] = {"mimo"};

}  // namespace

// MiMo, arXiv:2505.07608; as mlx-lm 0.32.2 models/mimo.py. Qwen2's layers; those that draft tokens are left out.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .drafting = kDrafting};

}  // namespace sluice::models::families::mimo
