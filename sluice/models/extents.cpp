#include "sluice/models/extents.h"

#include <algorithm>
#include <optional>

namespace sluice::models {
namespace {

using nn::BoundWeight;
using residency::ModelExtents;

void add_experts(const BoundWeight& bound, ModelExtents::Layer& layer) {
  layer.experts.resize(std::max(layer.experts.size(), bound.weights.size()));
  for (size_t expert = 0; expert < bound.weights.size(); ++expert) {
    const auto extents = residency::extents_of(bound.weights[expert]);
    layer.experts[expert].insert(layer.experts[expert].end(), extents.begin(), extents.end());
  }
}

uint64_t sum(const std::vector<io::Extent>& extents) {
  uint64_t bytes = 0;
  for (const io::Extent& extent : extents) bytes += extent.bytes;
  return bytes;
}

}  // namespace

ModelExtents extents_of(const nn::WeightTable& table, int64_t n_layers, int64_t n_experts_per_tok) {
  ModelExtents model;
  model.layers.resize(static_cast<size_t>(n_layers));
  std::optional<residency::Weight> head, embedding;
  std::vector<io::Extent> other_tables;
  for (const BoundWeight& bound : table.bound()) {
    if (bound.use == BoundWeight::Use::table && embedding) {
      const auto extents = residency::extents_of(bound.weights[0]);
      other_tables.insert(other_tables.end(), extents.begin(), extents.end());
    } else if (bound.use == BoundWeight::Use::table) {
      embedding = bound.weights[0];
    } else if (bound.layer < 0) {
      head = bound.weights[0];
    } else if (ModelExtents::Layer& layer = model.layers[static_cast<size_t>(bound.layer)];
               bound.use == BoundWeight::Use::experts) {
      add_experts(bound, layer);
      layer.n_experts_per_tok = static_cast<int>(n_experts_per_tok);
    } else {
      layer.dense.push_back(residency::extents_of(bound.weights[0]));
    }
  }
  model.head = head ? *head : *embedding;
  if (head) model.embedding = residency::extents_of(*embedding);
  model.embedding.insert(model.embedding.end(), other_tables.begin(), other_tables.end());
  return model;
}

ActiveBytes active_bytes(const ModelExtents& model) {
  ActiveBytes active;
  active.all.count = sum(residency::extents_of(model.head));
  for (const ModelExtents::Layer& layer : model.layers) {
    for (const auto& part : layer.dense) active.all.count += sum(part);
    if (layer.experts.empty()) continue;
    uint64_t experts = 0;
    for (const auto& expert : layer.experts) experts += sum(expert);
    active.experts.count +=
        experts / layer.experts.size() * static_cast<uint64_t>(layer.n_experts_per_tok);
  }
  active.all = active.all + active.experts;
  return active;
}

}  // namespace sluice::models
