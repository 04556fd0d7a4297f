#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::qwen2_moe {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) { return read_qwen(s, w, {}); }

constexpr std::string_view kNames[] = {"qwen2_moe", "qwen2moe"};

}  // namespace

// Qwen1.5-MoE and Qwen2-MoE, arXiv:2407.10671; as mlx-lm 0.32.2 models/qwen2_moe.py. q, k and v
// have biases; a shared expert behind a sigmoid gate.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::qwen2_moe
