#include "sluice/residency/store/model_extents.h"

#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/residency/placed_extents.h"

namespace sluice::residency {

std::vector<io::Extent> extents_of(const Weight& weight) {
  const kernels::Matrix& m = weight.matrix;
  const kernels::Packing& p = m.packing;
  const bool packed = kernels::is_packed(m);
  std::vector<io::Extent> extents;
  const auto add = [&](const FilePlace& place, int64_t bytes) {
    extents.push_back({place.file, place.offset, static_cast<uint64_t>(bytes)});
  };
  add(weight.data, (packed ? p.all_rows : m.rows) * m.row_bytes);
  if (m.scale_row_bytes != 0)
    add(weight.scales, packed ? p.scale_bytes : m.rows * m.scale_row_bytes);
  if (kernels::has_biases(m))
    add(weight.biases, packed ? p.zero_bytes : m.rows * m.scale_row_bytes);
  return extents;
}

std::vector<Weight> row_blocks(const Weight& weight, int n_blocks) {
  std::vector<Weight> blocks;
  const int64_t step = (weight.rows() + n_blocks - 1) / n_blocks;
  for (int64_t row = 0; row < weight.rows(); row += step) {
    blocks.push_back(weight.select_rows(row, std::min(step, weight.rows() - row)));
  }
  return blocks;
}

Footprint footprint_of(const ModelExtents& model) {
  const auto memory = [](const std::vector<io::Extent>& extents) {
    return PlacedExtents(extents).bytes();
  };
  Footprint footprint;
  for (const ModelExtents::Layer& layer : model.layers) {
    LayerFootprint& f = footprint.layers.emplace_back();
    for (const auto& part : layer.dense) f.dense.push_back(memory(part));
    f.n_experts = static_cast<int>(layer.experts.size());
    f.n_experts_per_tok = layer.n_experts_per_tok;
    for (const auto& expert : layer.experts) {
      f.per_expert = std::max(f.per_expert, slot_bytes(memory(expert)));
    }
  }
  if (kernels::is_packed(model.head.matrix)) {
    fail(ErrorKind::unsupported,
         "the output matrix is packed as GPTQ, AWQ or compressed-tensors do, and cannot be read in "
         "parts; leave out --ram");
  }
  footprint.head = memory(extents_of(model.head));
  footprint.embedding = memory(model.embedding);
  footprint.vocab_size = model.head.rows();
  return footprint;
}

ExpertFiles expert_files(const ModelExtents& model) {
  ExpertFiles files;
  files.n_layers = static_cast<int>(model.layers.size());
  for (const auto& layer : model.layers) {
    files.n_experts = std::max(files.n_experts, static_cast<int>(layer.experts.size()));
  }
  for (const auto& layer : model.layers) {
    for (const ExpertExtents& expert : layer.experts) files.extents.push_back(expert);
    files.extents.resize(files.extents.size() + static_cast<size_t>(files.n_experts) -
                         layer.experts.size());
  }
  return files;
}

TokenExperts::Shape token_experts(const ModelExtents& model) {
  constexpr uint64_t kMost = 4 << 20, kPart = 32;
  uint64_t bytes = 0;
  int most_per_tok = 0;
  for (const auto& layer : model.layers) {
    most_per_tok = std::max(most_per_tok, layer.n_experts_per_tok);
    for (const ExpertExtents& expert : layer.experts) {
      for (const io::Extent& extent : expert) bytes += extent.bytes;
    }
  }
  return TokenExperts::Shape::within({std::min(kMost, bytes / kPart)},
                                     static_cast<int>(model.layers.size()), most_per_tok,
                                     model.head.rows());
}

}  // namespace sluice::residency
