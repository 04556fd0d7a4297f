#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::seed_oss {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) { return read_decoder(s, w); }

constexpr std::string_view kNames[] = {"seed_oss"};

}  // namespace

// Seed-OSS; as mlx-lm 0.32.2 models/seed_oss.py. Llama with biases on q, k and v.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::seed_oss
