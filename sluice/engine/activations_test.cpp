#include "sluice/engine/activations.h"

#include <gtest/gtest.h>

namespace sluice::engine {
namespace {

/// The shape of Qwen3 1.7B, dense or with 64 experts.
nn::StepDemands demands(int64_t n_experts) {
  nn::Demands d(nn::KvFormat{}, 2048, 28);
  d.add_rows(2048 + 2 * 1024, 2048);
  d.add_attention(8, 2, 128);
  d.add_mlp(6144);
  if (n_experts > 0) d.add_experts(n_experts, 4, 768);
  return d.step;
}

TEST(Activations, more_tokens_threads_context_or_floats_never_take_less) {
  for (const int64_t n_experts : {0, 64}) {
    const nn::StepDemands c = demands(n_experts);
    const StepSize base{.n_tokens = 64, .attended = 4096, .n_threads = 2, .all_int8 = true};
    const auto more = [&](auto change) {
      StepSize step = base;
      change(step);
      return activation_bytes(c, step) > activation_bytes(c, base);
    };
    EXPECT_TRUE(more([](StepSize& s) { s.n_tokens = 512; }));
    EXPECT_TRUE(more([](StepSize& s) { s.n_threads = 16; }));
    EXPECT_TRUE(more([](StepSize& s) { s.attended = 1 << 20; }));
    EXPECT_TRUE(more([](StepSize& s) { s.all_int8 = false; }));
    EXPECT_TRUE(more([](StepSize& s) { s.logits = {1 << 30}; }));
    EXPECT_TRUE(more([](StepSize& s) { s.embedding = {1 << 30}; }));
  }
}

TEST(Activations, a_prompt_of_512_tokens_takes_its_rows) {
  const StepSize step{.n_tokens = 512, .attended = 4096, .n_threads = 2, .all_int8 = true};
  // Rows of 2048 + 2048 + 2 * 1024 floats, and 2 * 128 of angles.
  EXPECT_EQ(array_bytes(demands(0), step).count, 512u * 4 * (6144 + 256));
  EXPECT_GT(activation_bytes(demands(0), step).count, 25u << 20);
  EXPECT_LT(activation_bytes(demands(0), step).count, 35u << 20);
}

}  // namespace
}  // namespace sluice::engine
