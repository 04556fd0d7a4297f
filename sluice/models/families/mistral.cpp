#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::mistral {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  return read_decoder(
      s, w, {.n_heads = 32, .n_kv_heads = 8, .sliding_window = 4096, .slides = every_layer});
}

constexpr std::string_view kNames[] = {"mistral", "pixtral"};

}  // namespace

// Mistral, arXiv:2310.06825, and what Pixtral writes with, arXiv:2410.07073: Llama with a sliding window, where it is not null.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::mistral
