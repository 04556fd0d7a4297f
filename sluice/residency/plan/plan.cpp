#include "sluice/residency/plan/plan.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "sluice/base/error.h"
#include "sluice/io/reads/aligned_span.h"
#include "sluice/kernels/kernels.h"
#include "sluice/residency/plan/dense_placement.h"

namespace sluice::residency {
namespace {

/// Tokens: KV is allocated in whole blocks (docs/decisions/002-kv-blocks.md).
constexpr int64_t kKvBlock = kernels::kKvBlockTokens;

Bytes operator*(Bytes bytes, int64_t n) { return {bytes.count * static_cast<uint64_t>(n)}; }
double number(Bytes bytes) { return static_cast<double>(bytes.count); }

/// A footprint's sums, and its dense stages: the layers, then the head in row blocks no larger than a layer.
struct Needs {
  std::vector<std::vector<Bytes>> stages;
  int head_blocks = 1;
  Bytes dense;  // all stages
  int64_t n_experts = 0;
  int64_t experts_per_token = 0;
  Bytes per_slot;
  Bytes active_experts;  // bytes a token's experts have
  Bytes all_experts;
  Bytes kv;
  Bytes process;  // needed whatever the plan is
};

Needs needs_of(const Footprint& model, int64_t context) {
  Needs needs;
  Bytes largest;
  for (const LayerFootprint& layer : model.layers) {
    Bytes dense;
    for (const Bytes part : layer.dense) dense = dense + part;
    largest = std::max(largest, dense);
    needs.dense = needs.dense + dense;
    needs.stages.push_back(layer.dense);
    needs.n_experts += layer.n_experts;
    needs.experts_per_token += layer.n_experts_per_tok;
    needs.active_experts = needs.active_experts + layer.per_expert * layer.n_experts_per_tok;
    needs.all_experts = needs.all_experts + layer.per_expert * layer.n_experts;
    if (layer.n_experts > 0) needs.per_slot = std::max(needs.per_slot, layer.per_expert);
  }
  if (largest.count > 0) {
    needs.head_blocks = static_cast<int>(
        std::max<uint64_t>(1, (model.head.count + largest.count - 1) / largest.count));
  }
  for (int i = 0; i < needs.head_blocks; ++i) {
    const auto blocks = static_cast<uint64_t>(needs.head_blocks);
    needs.stages.push_back({Bytes{(model.head.count + blocks - 1) / blocks}});
  }
  needs.dense = needs.dense + model.head;
  const int64_t blocks = (std::max<int64_t>(context, 1) + kKvBlock - 1) / kKvBlock;
  needs.kv = model.kv_fixed + model.kv_per_token * (blocks * kKvBlock);
  needs.process = model.baseline + model.activations + needs.kv;
  return needs;
}

Bytes mapped_total(const Footprint& model, const Needs& needs) {
  return needs.process + needs.dense + needs.all_experts + model.embedding;
}

/// What an arena needs beside the dense parts: one token's experts, and reads in flight.
Bytes arena_fixed(const Footprint& model, const Needs& needs) {
  return needs.process + model.staging + needs.per_slot * needs.experts_per_token;
}

Bytes smallest_total(const Footprint& model, const Needs& needs) {
  const Bytes streaming = arena_fixed(model, needs) + place_dense(needs.stages, Bytes{}).memory();
  return std::min(streaming, mapped_total(model, needs));
}

[[noreturn]] void refuse(const Footprint& model, const Needs& needs, Bytes budget,
                         int64_t context) {
  const Bytes floor = smallest_total(model, needs);
  const Bytes dense = place_dense(needs.stages, Bytes{}).memory();
  const Bytes experts = needs.per_slot * needs.experts_per_token;
  fail(
      ErrorKind::over_budget,
      "--ram {}: at least {} bytes are needed: {} process + {} activations + {} KV for {} tokens + "
      "{} dense weights + {} for one token's {} experts + {} reads in flight; give {} or a smaller "
      "--ctx",
      to_string(budget), floor.count, to_string(model.baseline), to_string(model.activations),
      to_string(needs.kv), context, to_string(dense), to_string(experts), needs.experts_per_token,
      to_string(model.staging), floor.count);
}

/// What a token costs and how fast that can be. Its row of the embedding is one page, or two.
void estimate(const Footprint& model, const Needs& needs, Bytes dense_streamed,
              const Machine& machine, ResidencyPlan& plan) {
  const Bytes row{
      model.vocab_size > 0 ? model.embedding.count / static_cast<uint64_t>(model.vocab_size) : 0};
  const Bytes row_read{
      plan.embedding_resident ? 0 : (row.count / io::kDirectAlignment + 2) * io::kDirectAlignment};
  const double missed = (1 - plan.hit_rate) * number(needs.active_experts);
  const Bytes dense_active = needs.dense + needs.kv + row;
  plan.memory_bytes_per_token = dense_active + needs.active_experts;
  plan.expert_bytes_missed = Bytes{static_cast<uint64_t>(std::ceil(missed))};
  plan.disk_bytes_per_token = dense_streamed + row_read + plan.expert_bytes_missed;
  if (machine.memory_bandwidth <= 0) return;
  const auto from_disk = [&](double bytes) {
    return bytes == 0 ? 0 : bytes / std::max(machine.disk_bandwidth, 1.0);
  };
  const auto from_memory = [&](Bytes bytes) { return number(bytes) / machine.memory_bandwidth; };
  plan.bound_tps = 1 / std::max(from_memory(plan.memory_bytes_per_token),
                                from_disk(number(plan.disk_bytes_per_token)));
  plan.expected_tps =
      1 / (std::max(from_memory(dense_active), from_disk(number(dense_streamed + row_read))) +
           std::max(from_memory(needs.active_experts), from_disk(missed)));
}

}  // namespace

double ReuseCurve::hit_rate(double share) const {
  if (share >= 1) return 1;
  std::pair<double, double> before{0, 0};
  for (const auto& point : points) {
    if (share < point.first) {
      return before.second +
             (point.second - before.second) * (share - before.first) / (point.first - before.first);
    }
    before = point;
  }
  return before.second + (1 - before.second) * (share - before.first) / (1 - before.first);
}

ReuseCurve uniform_reuse() { return {}; }

ReuseCurve trained_reuse() { return {{{0.125, 0.37}, {0.25, 0.60}, {0.5, 0.84}, {0.75, 0.95}}}; }

Bytes smallest_budget(const Footprint& model, int64_t context) {
  return smallest_total(model, needs_of(model, context));
}

Bytes mapped_budget(const Footprint& model, int64_t context) {
  return mapped_total(model, needs_of(model, context));
}

ResidencyPlan plan_residency(const Footprint& model, Bytes budget, int64_t context,
                             const Machine& machine, const ReuseCurve& reuse) {
  const Needs needs = needs_of(model, context);
  ResidencyPlan plan;
  plan.budget = budget;
  plan.kv = needs.kv;
  plan.head_blocks = plan.head_blocks_resident = needs.head_blocks;
  for (const LayerFootprint& layer : model.layers) {
    plan.dense.emplace_back(layer.dense.size(), Placement::resident);
  }
  if (mapped_total(model, needs) <= budget) {
    plan.mapped = true;
    plan.total = mapped_total(model, needs);
    estimate(model, needs, Bytes{}, machine, plan);
    return plan;
  }

  const Bytes fixed = arena_fixed(model, needs);
  const DensePlacement dense = place_dense(needs.stages, difference(budget, fixed));
  plan.total = fixed + dense.memory();
  if (plan.total > budget) refuse(model, needs, budget, context);
  for (size_t layer = 0; layer < model.layers.size(); ++layer) {
    for (size_t part = 0; part < plan.dense[layer].size(); ++part) {
      if (dense.streamed[layer][part]) plan.dense[layer][part] = Placement::streamed;
    }
  }
  for (size_t stage = model.layers.size(); stage < dense.streamed.size(); ++stage) {
    if (dense.streamed[stage][0]) --plan.head_blocks_resident;
  }
  plan.slab = dense.slab;
  plan.dense_bytes_streamed = dense.streamed_bytes;

  if (needs.n_experts > 0) {
    plan.per_slot = needs.per_slot;
    plan.expert_slots = needs.experts_per_token;
    // What is too little for one more dense part stays free: a budget a little larger takes it back.
    if (dense.streamed_bytes.count == 0 && needs.per_slot.count > 0) {
      const uint64_t more = difference(budget, plan.total).count / needs.per_slot.count;
      plan.expert_slots = std::min(needs.n_experts, plan.expert_slots + static_cast<int64_t>(more));
    }
    plan.total = plan.total + needs.per_slot * (plan.expert_slots - needs.experts_per_token);
    plan.hit_rate = reuse.hit_rate(static_cast<double>(plan.expert_slots) /
                                   static_cast<double>(needs.n_experts));
  }
  // Last, since a row is a few pages.
  plan.embedding_resident = model.embedding.count == 0 || (dense.streamed_bytes.count == 0 &&
                                                           plan.expert_slots == needs.n_experts &&
                                                           plan.total + model.embedding <= budget);
  if (plan.embedding_resident) plan.total = plan.total + model.embedding;
  estimate(model, needs, dense.streamed_bytes, machine, plan);
  return plan;
}

std::vector<ResidencyPlan> plan_table(const Footprint& model, int64_t context, int rows,
                                      const Machine& machine, const ReuseCurve& reuse) {
  assert(rows >= 2);
  const Bytes least = smallest_budget(model, context);
  const Bytes most = mapped_budget(model, context);
  std::vector<ResidencyPlan> plans;
  for (int i = 0; i < rows; ++i) {
    const double part = static_cast<double>(i) / (rows - 1);
    const Bytes budget{i == rows - 1 ? most.count
                                     : least.count + static_cast<uint64_t>(
                                                         part * number(difference(most, least)))};
    plans.push_back(plan_residency(model, budget, context, machine, reuse));
  }
  return plans;
}

}  // namespace sluice::residency
