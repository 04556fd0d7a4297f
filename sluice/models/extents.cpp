#include "sluice/models/extents.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "sluice/base/error.h"

namespace sluice::models {
namespace {

using residency::ModelExtents;

constexpr std::string_view kLayers = "model.layers.";
constexpr std::string_view kEmbedding = "model.embed_tokens";
constexpr std::string_view kHead = "lm_head";

/// The layer that a module's path is in.
std::optional<size_t> layer_of(std::string_view path) {
  if (!path.starts_with(kLayers)) return std::nullopt;
  size_t layer = 0;
  const char* const number = path.data() + kLayers.size();
  const auto [end, error] = std::from_chars(number, path.data() + path.size(), layer);
  return error == std::errc{} ? std::optional(layer) : std::nullopt;
}

/// Adds the bytes of a stored matrix, or of its expert's slice of the stack.
void add(const nn::StoredMatrix& stored, std::vector<io::Extent>& extents) {
  for (const io::TensorInfo* tensor : {stored.weight, stored.scales, stored.biases}) {
    if (tensor == nullptr) continue;
    io::Extent extent{tensor->file, tensor->offset, tensor->bytes};
    if (stored.expert >= 0) {
      extent.bytes /= static_cast<uint64_t>(tensor->shape[0]);
      extent.offset += extent.bytes * static_cast<uint64_t>(stored.expert);
    }
    const bool known = std::ranges::any_of(extents, [&](const io::Extent& e) {
      return e.file == extent.file && e.offset == extent.offset;
    });
    if (!known) extents.push_back(extent);  // gate and up rows may share a tensor
  }
}

}  // namespace

ModelExtents extents_of(const nn::WeightTable& table, const nn::Config& config) {
  ModelExtents model;
  model.layers.resize(static_cast<size_t>(config.n_layers));
  for (const bool attention : {true, false}) {  // in the order of use, in which they may be read
    for (const auto& [path, stored] : table.matrices) {
      const auto layer = layer_of(path);
      if (!layer || *layer >= model.layers.size()) continue;
      if ((path.find(".self_attn.") != std::string::npos) != attention) continue;
      add(stored, model.layers[*layer].dense.emplace_back());
    }
  }
  for (const auto& [path, stack] : table.experts) {
    const auto layer = layer_of(path);
    if (!layer || *layer >= model.layers.size()) continue;
    ModelExtents::Layer& l = model.layers[*layer];
    l.experts.resize(std::max(l.experts.size(), stack.size()));
    l.n_experts_per_tok = static_cast<int>(config.router.n_experts_per_tok);
    for (size_t expert = 0; expert < stack.size(); ++expert) add(stack[expert], l.experts[expert]);
  }
  const bool tied = config.tie_word_embeddings;
  model.head = nn::Weights(table, std::string(tied ? kEmbedding : kHead))
                   .matrix(config.vocab_size, config.hidden_size);
  if (const auto it = table.matrices.find(kEmbedding); !tied && it != table.matrices.end()) {
    add(it->second, model.embedding);
  }
  return model;
}

}  // namespace sluice::models
