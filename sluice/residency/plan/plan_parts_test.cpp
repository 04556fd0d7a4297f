#include "sluice/residency/plan/plan_parts.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace sluice::residency {
namespace {

constexpr uint64_t kMB = 1'000'000;

Footprint footprint(int n_experts) {
  Footprint model;
  for (int i = 0; i < 6; ++i) {
    model.layers.push_back({{{3 * kMB}, {2 * kMB}}, n_experts, n_experts > 0 ? 2 : 0, {kMB}});
  }
  model.head = {11 * kMB};
  model.embedding = {9 * kMB};
  model.vocab_size = 1000;
  model.kv_per_token = {1000};
  model.baseline = {20 * kMB};
  model.activations = {5 * kMB};
  model.staging = {2 * kMB};
  return model;
}

TEST(PlanParts, add_up_to_the_plan_at_every_budget) {
  for (const int n_experts : {0, 16}) {
    const Footprint model = footprint(n_experts);
    for (const ResidencyPlan& plan : plan_table(model, 512, 40, {30e9, 2e9}, trained_reuse())) {
      Bytes memory, disk;
      for (const PlanPart& part : parts_of(model, plan)) {
        memory = memory + part.memory;
        disk = disk + part.disk_per_token;
        EXPECT_GT(part.bytes.count, 0u) << part.name;
      }
      EXPECT_EQ(memory, plan.total) << plan.budget.count;
      EXPECT_EQ(disk, plan.disk_bytes_per_token) << plan.budget.count;
    }
  }
}

TEST(PlanParts, what_the_plan_says_of_a_part_is_where_it_is) {
  const Footprint model = footprint(16);
  std::map<std::string, std::string> least, most;
  const auto table = plan_table(model, 512, 2, {}, trained_reuse());
  for (const PlanPart& part : parts_of(model, table[0]))
    least[std::string(part.name)] = part.placement;
  for (const PlanPart& part : parts_of(model, table[1]))
    most[std::string(part.name)] = part.placement;
  EXPECT_EQ(least["layers"], "streamed");
  EXPECT_EQ(least["experts"], "slots");
  EXPECT_EQ(least["embedding"], "read by row");
  EXPECT_EQ(most["layers"], "mapped");
  EXPECT_EQ(most["experts"], "mapped");
  EXPECT_FALSE(most.contains("slabs"));
  EXPECT_FALSE(most.contains("reads under way"));
}

}  // namespace
}  // namespace sluice::residency
