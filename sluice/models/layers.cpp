#include "sluice/models/layers.h"

#include "sluice/models/make.h"
#include "sluice/models/make_decoder.h"

namespace sluice::models {

std::unique_ptr<nn::Model> make_pre_norm(nn::Config config, const nn::Weights& weights) {
  return make_decoder<PreNormLayer>(std::move(config), weights);
}

std::unique_ptr<nn::Model> make_sandwich_norm(nn::Config config, const nn::Weights& weights) {
  return make_decoder<SandwichNormLayer>(std::move(config), weights);
}

std::unique_ptr<nn::Model> make_parallel(nn::Config config, const nn::Weights& weights) {
  return make_decoder<ParallelLayer>(std::move(config), weights);
}

std::unique_ptr<nn::Model> make_post_norm(nn::Config config, const nn::Weights& weights) {
  return make_decoder<PostNormLayer>(std::move(config), weights);
}

}  // namespace sluice::models
