#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::qwen2 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) { return read_qwen(s, w, {}); }

constexpr std::string_view kNames[] = {"qwen2", "qwen2_vl", "qwen2_5_vl", "qwen2_5_vl_text",
                                       "qwen2vl"};

}  // namespace

// Qwen2, arXiv:2407.10671; as mlx-lm 0.32.2 models/qwen2.py. q, k and v have biases.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::qwen2
