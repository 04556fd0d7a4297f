#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) { return read_granite(s, w, {}); }

constexpr std::string_view kNames[] = {"granite"};

}  // namespace

// Granite 3, arXiv:2408.13359 and IBM's cards; as mlx-lm 0.32.2 models/granite.py. Llama with four multipliers.
extern const Family granite{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models
