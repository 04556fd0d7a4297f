#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::granite {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) { return read_granite(s, w, {}); }

constexpr TensorName kTensors[] = {
    {".block_sparse_moe.input_linear.", ".mlp.experts.gate_up_proj."},
    {".block_sparse_moe.output_linear.", ".mlp.experts.down_proj."},
    {".block_sparse_moe.router.layer.", ".mlp.gate."},
    {".block_sparse_moe.", ".mlp."}};
constexpr std::string_view kNames[] = {"granite", "granitemoe"};

}  // namespace

// Granite 3, arXiv:2408.13359 and IBM's cards; as mlx-lm 0.32.2 models/granite.py and granitemoe.py. Llama, or
// Mixtral, with four multipliers.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::granite
