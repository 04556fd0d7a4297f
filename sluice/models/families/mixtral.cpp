#include "sluice/models/family.h"
#include "sluice/models/layers.h"

namespace sluice::models {
namespace {

void configure(nn::Config& c, const Source&) {
  c.router.scoring = ops::RouterSpec::Scoring::top_k_then_softmax;
}

}  // namespace

// Mixtral, arXiv:2401.04088; as mlx-lm 0.32.2 models/mixtral.py. Every layer is sparse.
extern const Family mixtral{
    .configure = configure, .make = make_decoder<PreNormLayer>, .gguf_names = {}};

}  // namespace sluice::models
