#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::qwen3 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) { return read_qwen(s, w, {.head_dim = 128}); }

constexpr std::string_view kNames[] = {"qwen3", "qwen3_vl", "qwen3_vl_text", "qwen3vl"};

}  // namespace

// Qwen3, arXiv:2505.09388; as mlx-lm 0.32.2 models/qwen3.py. q_norm and k_norm over each head,
// before RoPE.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::qwen3
