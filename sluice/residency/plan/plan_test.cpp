#include "sluice/residency/plan/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "sluice/base/error.h"

namespace sluice::residency {
namespace {

constexpr uint64_t kMb = 1'000'000;
const Machine kMachine = {35e9, 2e9};

Bytes mb(uint64_t n) { return {n * kMb}; }

/// So many equal layers in a process of 50 MB, with activations of 40 and reads of 4.
Footprint layers_of(size_t n, const LayerFootprint& layer) {
  Footprint model;
  model.layers.assign(n, layer);
  model.baseline = mb(50);
  model.activations = mb(40);
  model.staging = mb(4);
  return model;
}

/// 28 layers of 30 MB, a head of 160 MB: 1 GB.
Footprint dense_model() {
  Footprint model = layers_of(28, {{mb(1), mb(2), mb(2), mb(4), mb(7), mb(7), mb(7)}, 0, 0, {}});
  model.head = mb(160);
  model.vocab_size = 150'000;
  model.kv_per_token = {100'000};
  return model;
}

/// 24 layers of 10 MB and 64 experts of 2.5 MB, 4 for a token: 4.2 GB.
Footprint moe_model() {
  Footprint model = layers_of(24, {{mb(2), mb(3), mb(5)}, 64, 4, {2'500'000}});
  model.head = mb(60);
  model.embedding = mb(60);
  model.vocab_size = 60'000;
  model.kv_per_token = {50'000};
  return model;
}

Footprint random_model(unsigned seed) {
  std::mt19937 random(seed);
  const auto below = [&](uint64_t n) { return random() % n; };
  Footprint model;
  const size_t n_layers = 1 + below(12);
  for (size_t i = 0; i < n_layers; ++i) {
    LayerFootprint layer;
    for (uint64_t parts = below(9); parts > 0; --parts) layer.dense.push_back({below(9'000'000)});
    if (below(3) > 0) {
      layer.n_experts = static_cast<int>(1 + below(64));
      layer.n_experts_per_tok = 1 + static_cast<int>(below(static_cast<uint64_t>(layer.n_experts)));
      layer.per_expert = {1 + below(3'000'000)};
    }
    model.layers.push_back(layer);
  }
  model.head = {below(80'000'000)};
  model.embedding = {below(2) * below(80'000'000)};
  model.vocab_size = 1 + static_cast<int64_t>(below(100'000));
  model.kv_per_token = {below(100'000)};
  model.kv_fixed = {below(1'000'000)};
  model.baseline = {below(50'000'000)};
  model.activations = {below(50'000'000)};
  model.staging = {below(8'000'000)};
  return model;
}

constexpr int64_t kContext = 256;
constexpr int64_t kOddContext = 300;  // no whole number of blocks

ResidencyPlan plan_for(const Footprint& model, Bytes budget, int64_t context = kContext,
                       const ReuseCurve& reuse = uniform_reuse()) {
  return plan_residency(model, budget, context, kMachine, reuse);
}

TEST(Plan, a_model_that_fits_is_mapped_and_bound_by_memory) {
  const auto plan = plan_for(dense_model(), mb(1'200));
  EXPECT_TRUE(plan.mapped);
  EXPECT_EQ(plan.total.count, (50 + 40 + 1'000) * kMb + 25'600'000);
  EXPECT_EQ(plan.disk_bytes_per_token.count, 0u);
  EXPECT_NEAR(plan.bound_tps, 35e9 / 1.0256e9, 0.01);
  EXPECT_EQ(plan.bound_tps, plan.expected_tps);
}

TEST(Plan, a_dense_model_reads_what_does_not_fit_and_little_more) {
  const auto plan = plan_for(dense_model(), mb(700));
  const uint64_t lacking = mapped_budget(dense_model(), kContext).count - 700 * kMb;
  EXPECT_FALSE(plan.mapped);
  EXPECT_GT(plan.slab.count, 0u);
  EXPECT_GE(plan.disk_bytes_per_token.count, lacking);
  EXPECT_LE(plan.disk_bytes_per_token.count, lacking + 2 * plan.slab.count + 4 * kMb + 7 * kMb);
  EXPECT_LE(plan.slab, mb(18));
  EXPECT_NEAR(plan.expected_tps, 2e9 / static_cast<double>(plan.disk_bytes_per_token.count), 0.01);
}

TEST(Plan, streamed_parts_are_spread_over_the_layers) {
  const auto plan = plan_for(dense_model(), mb(700));
  for (const auto& layer : plan.dense) {
    EXPECT_NE(std::count(layer.begin(), layer.end(), Placement::streamed), 0);
    EXPECT_NE(std::count(layer.begin(), layer.end(), Placement::resident), 0);
  }
}

TEST(Plan, experts_get_what_the_dense_parts_leave) {
  // 50 + 40 + 4 + 12.8 of KV, 300 dense; 2,593.2 MB are left for slots of 2.5 MB.
  const auto plan = plan_for(moe_model(), mb(3'000));
  EXPECT_EQ(plan.slab.count, 0u);
  EXPECT_EQ(plan.expert_slots, 1'037);
  EXPECT_FALSE(plan.embedding_resident);
  EXPECT_NEAR(plan.hit_rate, 1'037.0 / 1'536, 1e-9);
  const double missed = (1 - plan.hit_rate) * 240e6;
  EXPECT_NEAR(static_cast<double>(plan.disk_bytes_per_token.count), missed + 8'192, 10);
  EXPECT_NEAR(plan.bound_tps, 2e9 / (missed + 8'192), 0.1);
  EXPECT_LT(plan.expected_tps, plan.bound_tps);
}

TEST(Plan, a_pool_never_holds_less_than_one_token_needs) {
  const Footprint model = moe_model();
  const auto plan = plan_for(model, smallest_budget(model, kContext));
  EXPECT_EQ(plan.expert_slots, 24 * 4);
  EXPECT_GT(plan.slab.count, 0u);
}

TEST(Plan, a_refusal_shows_the_sum_and_a_budget_that_works) {
  try {
    (void)plan_residency(moe_model(), mb(300), 1'000, kMachine, uniform_reuse());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::over_budget);
    EXPECT_EQ(std::string(error.what()),
              "--ram 300 MB: at least 405200000 bytes are needed: 50.0 MB process + 40.0 MB "
              "activations + 51.2 MB KV for 1000 tokens + 20.0 MB dense weights + 240 MB for one "
              "token's 96 experts + 4.00 MB reads in flight; give 405200000 or a smaller --ctx");
  }
}

TEST(Plan, the_floor_is_exact) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    const Footprint model = random_model(seed);
    const Bytes floor = smallest_budget(model, kOddContext);
    const auto plan = plan_for(model, floor, kOddContext);
    EXPECT_LE(plan.total, floor);
    if (floor.count == 0) continue;
    EXPECT_THROW((void)plan_for(model, {floor.count - 1}, kOddContext), Error) << "seed " << seed;
  }
}

TEST(Plan, no_plan_is_over_budget_and_more_memory_never_reads_more) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    const Footprint model = random_model(seed);
    const Bytes floor = smallest_budget(model, kOddContext);
    const Bytes all = mapped_budget(model, kOddContext);
    Bytes read{UINT64_MAX};
    double bound = 0;
    for (int i = 0; i <= 100; ++i) {
      const Bytes budget{floor.count + (all.count - floor.count) * static_cast<uint64_t>(i) / 100};
      const auto plan = plan_for(model, budget, kOddContext, trained_reuse());
      ASSERT_LE(plan.total, budget) << "seed " << seed;
      ASSERT_LE(plan.disk_bytes_per_token, read) << "seed " << seed << " step " << i;
      ASSERT_GE(plan.bound_tps, bound * (1 - 1e-9)) << "seed " << seed << " step " << i;
      ASSERT_LE(plan.expected_tps, plan.bound_tps * (1 + 1e-5));
      read = plan.disk_bytes_per_token;
      bound = plan.bound_tps;
    }
    EXPECT_TRUE(plan_for(model, all, kOddContext, trained_reuse()).mapped);
  }
}

TEST(Plan, a_table_goes_from_the_smallest_budget_to_the_mapped_model) {
  const auto plans = plan_table(moe_model(), kContext, 8, kMachine, trained_reuse());
  ASSERT_EQ(plans.size(), 8u);
  EXPECT_EQ(plans.front().budget, smallest_budget(moe_model(), kContext));
  EXPECT_TRUE(plans.back().mapped);
  for (const auto& plan : plans) EXPECT_EQ(plan.mapped, &plan == &plans.back());
}

TEST(ReuseCurve, is_linear_between_its_points) {
  const ReuseCurve curve{{{0.25, 0.5}, {0.5, 0.8}}};
  EXPECT_DOUBLE_EQ(curve.hit_rate(0), 0);
  EXPECT_DOUBLE_EQ(curve.hit_rate(0.125), 0.25);
  EXPECT_DOUBLE_EQ(curve.hit_rate(0.25), 0.5);
  EXPECT_DOUBLE_EQ(curve.hit_rate(0.375), 0.65);
  EXPECT_DOUBLE_EQ(curve.hit_rate(0.75), 0.9);
  EXPECT_DOUBLE_EQ(curve.hit_rate(1), 1);
  EXPECT_DOUBLE_EQ(uniform_reuse().hit_rate(0.3), 0.3);
}

}  // namespace
}  // namespace sluice::residency
