#include "sluice/residency/plan/plan_parts.h"

#include <algorithm>

namespace sluice::residency {
namespace {

Bytes dense_bytes(const Footprint& model, const ResidencyPlan& plan, Placement wanted) {
  Bytes sum;
  for (size_t layer = 0; layer < model.layers.size(); ++layer) {
    for (size_t part = 0; part < model.layers[layer].dense.size(); ++part) {
      if (plan.dense[layer][part] == wanted) sum = sum + model.layers[layer].dense[part];
    }
  }
  return sum;
}

Bytes all_experts(const Footprint& model) {
  Bytes sum;
  for (const LayerFootprint& layer : model.layers) {
    sum.count += layer.per_expert.count * static_cast<uint64_t>(layer.n_experts);
  }
  return sum;
}

}  // namespace

std::vector<PlanPart> parts_of(const Footprint& model, const ResidencyPlan& plan) {
  std::vector<PlanPart> parts;
  const auto add = [&](const PlanPart& part) {
    if (part.bytes.count > 0) parts.push_back(part);
  };
  const auto kept = [&](std::string_view name, Bytes bytes) {
    add({name, plan.mapped ? "mapped" : "resident", bytes, bytes, {}});
  };
  const Bytes layers_streamed = dense_bytes(model, plan, Placement::streamed);
  const Bytes experts = all_experts(model);
  kept("layers", dense_bytes(model, plan, Placement::resident));
  add({"layers", "streamed", layers_streamed, {}, layers_streamed});

  const auto blocks = static_cast<uint64_t>(plan.head_blocks);
  const Bytes block{(model.head.count + blocks - 1) / blocks};
  const Bytes head_kept{plan.mapped
                            ? model.head.count
                            : block.count * static_cast<uint64_t>(plan.head_blocks_resident)};
  const Bytes head_streamed = difference(plan.dense_bytes_streamed, layers_streamed);
  kept("head", head_kept);
  add({"head", "streamed", head_streamed, {}, head_streamed});

  const Bytes slabs = plan.slab + plan.slab;
  add({"slabs", "read ahead", slabs, slabs, {}});

  const Bytes read = difference(plan.disk_bytes_per_token, plan.dense_bytes_streamed);
  if (plan.mapped) {
    kept("experts", experts);
  } else {
    const Bytes slots{plan.per_slot.count * static_cast<uint64_t>(plan.expert_slots)};
    add({"experts", "slots", experts, slots, plan.expert_bytes_missed});
  }
  if (plan.embedding_resident) {
    kept("embedding", model.embedding);
  } else {
    add({"embedding",
         "read by row",
         model.embedding,
         {},
         difference(read, plan.expert_bytes_missed)});
  }

  add({"keys and values", "", plan.kv, plan.kv, {}});
  add({"activations", "", model.activations, model.activations, {}});
  if (!plan.mapped) add({"reads under way", "", model.staging, model.staging, {}});
  add({"process", "", model.baseline, model.baseline, {}});
  return parts;
}

}  // namespace sluice::residency
