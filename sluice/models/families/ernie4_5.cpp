#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::ernie4_5 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  return read_decoder(s, w, {.interleaved = true});
}

constexpr std::string_view kNames[] = {"ernie4_5"};

}  // namespace

// ERNIE 4.5, dense; as mlx-lm 0.32.2 models/ernie4_5.py. Llama with interleaved RoPE.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::ernie4_5
