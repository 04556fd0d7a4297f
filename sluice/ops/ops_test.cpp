#include <gtest/gtest.h>
#include <mlx/mlx.h>

#include <cmath>
#include <numeric>
#include <random>

#include "sluice/base/error.h"
#include "sluice/ops/attention.h"
#include "sluice/ops/elementwise.h"
#include "sluice/ops/kernel_op.h"
#include "sluice/ops/moe.h"
#include "sluice/ops/norm.h"

namespace sluice::ops {
namespace {

/// An engine's surroundings without a model.
struct Ops : testing::Test {
  residency::WeightStore weights{io::TensorIndex{}};
  ThreadPool pool{2};
  ErrorSlot errors;
  Scratch scratch;
  Context context{
      mx::new_stream(mx::Device::cpu), pool, kernels::kernels(), weights, errors, scratch};
};

mx::array values(std::vector<float> v, mx::Shape shape) {
  return mx::array(v.begin(), std::move(shape), mx::float32);
}

std::vector<float> random_values(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(n);
  for (float& x : v) x = normal(random);
  return v;
}

TEST_F(Ops, an_exception_in_a_task_reaches_the_slot_with_its_type_and_later_tasks_are_skipped) {
  bool ran = false;
  mx::array first = kernel_op(context, "fails", {}, mx::Shape{1},
                              [](const Buffers&) { fail(ErrorKind::io, "the disk is gone"); });
  mx::array second =
      kernel_op(context, "after", {first}, mx::Shape{1}, [&ran](const Buffers&) { ran = true; });
  mx::eval(second);
  EXPECT_FALSE(ran);
  try {
    errors.rethrow();
    FAIL() << "the error was lost";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::io);
  }
  EXPECT_FALSE(errors.is_set());
}

TEST_F(Ops, memory_is_donated_only_when_nobody_else_holds_it) {
  const auto negate = [this](const mx::array& x) {
    return kernel_op(
        context, "negate", {x}, x.shape(), [](const Buffers& b) { b.output()[0] = -b.input(0)[0]; },
        0);
  };
  mx::array kept = values({3}, {1});
  mx::array negated = negate(kept);
  mx::eval(negated);
  EXPECT_EQ(kept.item<float>(), 3);
  mx::array chained = negate(negate(negate(mx::array({5.0F}))));
  mx::eval(chained);
  EXPECT_EQ(chained.item<float>(), -5);
}

TEST(Route, takes_the_best_experts_and_breaks_ties_by_id) {
  std::vector<float> scores{1, 3, 3, 2};
  int32_t ids[2];
  float weights[2];
  route({.scoring = RouterSpec::Scoring::top_k_then_softmax, .n_experts_per_tok = 2}, scores, ids,
        weights);
  EXPECT_EQ(ids[0], 1);
  EXPECT_EQ(ids[1], 2);
  EXPECT_FLOAT_EQ(weights[0], 0.5F);

  std::vector<float> equal(4, 0.0F);
  route({.n_experts_per_tok = 2, .renormalize = true}, equal, ids, weights);
  EXPECT_EQ(ids[0], 0);
  EXPECT_EQ(ids[1], 1);
  EXPECT_FLOAT_EQ(weights[0] + weights[1], 1);
}

/// Attention over a fresh sequence of n tokens, `chunk` tokens a step.
std::vector<float> attend(const Context& context, int64_t n, int64_t chunk, int64_t window) {
  constexpr int64_t kHeads = 4, kKvHeads = 2, kDim = 24;
  const KvLayerLayout layout{kKvHeads, kDim, kernels::KvType::f16, 0};
  const AttentionSpec spec{.n_heads = kHeads, .scale = 0.2F, .window = window};
  const auto q = random_values(static_cast<size_t>(n * kHeads * kDim), 1);
  const auto k = random_values(static_cast<size_t>(n * kKvHeads * kDim), 2);
  const auto v = random_values(static_cast<size_t>(n * kKvHeads * kDim), 3);
  residency::KvPool pool;
  std::vector<std::shared_ptr<residency::KvBlock>> blocks;
  for (int64_t i = 0; i < (n + 255) / 256; ++i)
    blocks.push_back(pool.allocate(Bytes{2 * 2 * 256 * kDim * kKvHeads}, 1));
  std::vector<float> out;
  for (int64_t at = 0; at < n; at += chunk) {
    const int64_t count = std::min(chunk, n - at);
    const auto slice = [&](const std::vector<float>& all, int64_t width) {
      return values({all.begin() + at * width, all.begin() + (at + count) * width},
                    {static_cast<int>(count), static_cast<int>(width)});
    };
    auto kv = std::make_shared<const std::vector<SequenceKv>>(
        1, SequenceKv{0, count, at, blocks, nullptr});
    mx::array y = attention(context, slice(q, kHeads * kDim), slice(k, kKvHeads * kDim),
                            slice(v, kKvHeads * kDim), spec, layout, kv);
    mx::eval(y);
    out.insert(out.end(), y.data<float>(), y.data<float>() + y.size());
  }
  return out;
}

TEST_F(Ops, attention_does_not_depend_on_how_the_prompt_is_cut) {
  for (const int64_t window : {0, 70}) {
    const auto whole = attend(context, 600, 600, window);
    EXPECT_EQ(attend(context, 600, 1, window), whole);
    EXPECT_EQ(attend(context, 600, 97, window), whole);
  }
}

TEST_F(Ops, a_window_hides_what_lies_before_it) {
  EXPECT_EQ(attend(context, 40, 40, 64), attend(context, 40, 40, 0));
  EXPECT_NE(attend(context, 80, 80, 64), attend(context, 80, 80, 0));
}

TEST_F(Ops, rms_norm_agrees_with_mlx) {
  const auto x = random_values(3 * 96, 5);
  const auto w = std::make_shared<const std::vector<float>>(random_values(96, 6));
  mx::array ours = rms_norm(context, values(x, {3, 96}), {w, 1.0F, 1e-5F});
  mx::array theirs =
      mx::fast::rms_norm(values(x, {3, 96}), mx::add(values(*w, {96}), mx::array(1.0F)), 1e-5F);
  mx::eval(ours, theirs);
  for (size_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(ours.data<float>()[i], theirs.data<float>()[i], 1e-5F);
}

}  // namespace
}  // namespace sluice::ops
