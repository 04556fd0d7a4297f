#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  return read_decoder(s, w, {.n_kv_heads = 8, .sliding_window = 4096, .slides = every_layer});
}

constexpr std::string_view kNames[] = {"mistral"};

}  // namespace

// Mistral, arXiv:2310.06825: Llama with a sliding window, where it is not null.
extern const Family mistral{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models
