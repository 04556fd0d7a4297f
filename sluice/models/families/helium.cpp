#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::helium {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  s.ignore({"head_dim", ""});  // the reference divides hidden_size, and so do published files
  return read_decoder(s, w, {.interleaved = true});
}

constexpr std::string_view kNames[] = {"helium"};

}  // namespace

// Helium; as mlx-lm 0.32.2 models/helium.py. Llama with interleaved RoPE.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::helium
