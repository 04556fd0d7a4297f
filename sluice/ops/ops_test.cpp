#include <gtest/gtest.h>
#include <mlx/mlx.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "sluice/base/error.h"
#include "sluice/ops/attention.h"
#include "sluice/ops/attention_plan.h"
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
    errors.check();
    FAIL() << "the error was lost";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::io);
  }
  // A step that takes the failed one's results does nothing, until it is told that they are there.
  ErrorSlot next;
  next.follow(&errors);
  EXPECT_TRUE(next.is_set());
  EXPECT_FALSE(next.check());
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

/// A model's attention, and the steps in which `lengths` tokens of as many sequences reach it.
struct AttentionCase {
  int64_t n_heads = 4, n_kv_heads = 2, head_dim = 24, window = 0;
  bool transforms = false, sinks = false;
  std::vector<int64_t> lengths = {600};
};

Vector random_vector(int64_t n, uint32_t seed) {
  return std::make_shared<const std::vector<float>>(random_values(static_cast<size_t>(n), seed));
}

/// The results of every sequence, one after another. A step has up to `chunk` tokens of each.
std::vector<float> attend(const Context& context, const AttentionCase& c, int64_t chunk) {
  const KvLayerLayout layout{c.n_kv_heads, c.head_dim, kernels::KvType::f16, 0};
  AttentionSpec spec{.n_heads = c.n_heads, .scale = 0.2F, .window = c.window};
  if (c.sinks) spec.sinks = random_vector(c.n_heads, 7);
  if (c.transforms) {
    spec.query = {.norm = random_vector(c.head_dim, 8), .norm_offset = 1, .norm_eps = 1e-6F};
    spec.key = {.norm = random_vector(c.head_dim, 9), .norm_eps = 1e-6F};
  }
  const int64_t q_width = c.n_heads * c.head_dim, kv_width = c.n_kv_heads * c.head_dim;
  residency::KvPool pool;
  struct Sequence {
    std::vector<float> q, k, v, out;
    std::vector<std::shared_ptr<residency::KvBlock>> blocks;
  };
  std::vector<Sequence> all;
  for (const int64_t n : c.lengths) {
    const auto seed = static_cast<uint32_t>(10 * all.size());
    all.push_back({random_values(static_cast<size_t>(n * q_width), seed + 1),
                   random_values(static_cast<size_t>(n * kv_width), seed + 2),
                   random_values(static_cast<size_t>(n * kv_width), seed + 3),
                   {},
                   {}});
    for (int64_t i = 0; i < (n + 255) / 256; ++i)
      all.back().blocks.push_back(std::make_shared<residency::KvBlock>(
          pool, Bytes{static_cast<uint64_t>(2 * 2 * 256 * kv_width)}));
  }
  for (int64_t at = 0; at < *std::max_element(c.lengths.begin(), c.lengths.end()); at += chunk) {
    std::vector<SequenceKv> kv;
    std::vector<float> q, k, v;
    auto positions = std::make_shared<std::vector<int64_t>>();
    for (size_t s = 0; s < all.size(); ++s) {
      const int64_t count = std::min(chunk, c.lengths[s] - at);
      if (count <= 0) continue;
      kv.push_back({static_cast<int64_t>(positions->size()), count, at, all[s].blocks, nullptr});
      const auto append = [&](std::vector<float>& to, const std::vector<float>& from,
                              int64_t width) {
        to.insert(to.end(), from.begin() + at * width, from.begin() + (at + count) * width);
      };
      append(q, all[s].q, q_width);
      append(k, all[s].k, kv_width);
      append(v, all[s].v, kv_width);
      for (int64_t i = 0; i < count; ++i) positions->push_back(at + i);
    }
    const auto rows = static_cast<int>(positions->size());
    std::optional<mx::array> angles;
    if (c.transforms) {
      angles = rope_angles(context, positions, c.head_dim / 3, 1.0F, [](int64_t p, int64_t pair) {
        return static_cast<double>(p) / static_cast<double>(1 + pair);
      });
    }
    mx::array y = attention(context, values(q, {rows, static_cast<int>(q_width)}),
                            values(k, {rows, static_cast<int>(kv_width)}),
                            values(v, {rows, static_cast<int>(kv_width)}), angles, spec, layout,
                            std::make_shared<const std::vector<SequenceKv>>(kv));
    mx::eval(y);
    const float* row = y.data<float>();
    for (size_t s = 0; s < all.size(); ++s) {
      const int64_t count = std::min(chunk, c.lengths[s] - at);
      if (count <= 0) continue;
      all[s].out.insert(all[s].out.end(), row, row + count * q_width);
      row += count * q_width;
    }
  }
  std::vector<float> out;
  for (const Sequence& sequence : all)
    out.insert(out.end(), sequence.out.begin(), sequence.out.end());
  return out;
}

TEST_F(Ops, attention_does_not_depend_on_chunks_threads_or_other_sequences) {
  const std::vector<AttentionCase> cases = {
      {},
      {.window = 70, .lengths = {400}},
      {.n_heads = 4, .n_kv_heads = 1, .head_dim = 32, .transforms = true, .lengths = {800}},
      {.n_heads = 6,
       .n_kv_heads = 2,
       .head_dim = 20,
       .window = 300,
       .transforms = true,
       .sinks = true},
      {.n_heads = 40, .n_kv_heads = 1, .head_dim = 16, .lengths = {270}},
  };
  for (const AttentionCase& one : cases) {
    const auto whole = attend(context, one, 1000);
    AttentionCase several = one;
    several.lengths.insert(several.lengths.end(), {3, 290, 1});
    for (const int n_threads : {1, 2, 5}) {
      ThreadPool threads{n_threads};
      const Context other{context.stream, threads, context.kernels, weights, errors, scratch};
      for (const int64_t chunk : {1, 7, 97, 1000}) {
        EXPECT_EQ(attend(other, one, chunk), whole) << n_threads << " threads, chunks of " << chunk;
        auto batched = attend(other, several, chunk);
        batched.resize(whole.size());
        EXPECT_EQ(batched, whole) << n_threads << " threads, chunks of " << chunk << ", batched";
      }
    }
  }
}

TEST_F(Ops, a_window_hides_what_lies_before_it) {
  const auto windowed = [&](int64_t n, int64_t window) {
    return attend(context, {.window = window, .lengths = {n}}, n);
  };
  EXPECT_EQ(windowed(40, 64), windowed(40, 0));
  EXPECT_NE(windowed(80, 64), windowed(80, 0));
}

TEST_F(Ops, attention_normalizes_and_rotates_each_head_first) {
  // One token sees itself only, so the result is its value; two show the scores of transformed heads.
  AttentionCase plain{.n_heads = 1, .n_kv_heads = 1, .head_dim = 24, .lengths = {1}};
  AttentionCase transformed = plain;
  transformed.transforms = true;
  EXPECT_EQ(attend(context, transformed, 1), attend(context, plain, 1));

  const auto q = random_values(2 * 24, 1), k = random_values(2 * 24, 2),
             v = random_values(2 * 24, 3);
  const auto prepared = [&](const std::vector<float>& x, int64_t token, const std::vector<float>& w,
                            float offset) {
    std::vector<double> h(24);
    double squares = 0;
    for (size_t d = 0; d < 24; ++d) h[d] = double{x[static_cast<size_t>(token) * 24 + d]};
    for (const double e : h) squares += e * e;
    for (size_t d = 0; d < 24; ++d)
      h[d] = h[d] / std::sqrt(squares / 24 + 1e-6) * (double{w[d]} + double{offset});
    for (size_t pair = 0; pair < 8; ++pair) {
      const double radians = static_cast<double>(token) / static_cast<double>(1 + pair);
      const double a = h[pair], b = h[pair + 8];
      h[pair] = a * std::cos(radians) - b * std::sin(radians);
      h[pair + 8] = b * std::cos(radians) + a * std::sin(radians);
    }
    return h;
  };
  const auto query = prepared(q, 1, *random_vector(24, 8), 1);
  double s[2];
  for (int64_t j = 0; j < 2; ++j) {
    const auto key = prepared(k, j, *random_vector(24, 9), 0);
    s[j] = 0.2 * std::inner_product(query.begin(), query.end(), key.begin(), 0.0);
  }
  const double weight = 1 / (1 + std::exp(s[0] - s[1]));
  transformed.lengths = {2};
  const auto out = attend(context, transformed, 2);
  for (size_t d = 0; d < 24; ++d)
    EXPECT_NEAR(out[24 + d], (1 - weight) * double{v[d]} + weight * double{v[24 + d]}, 4e-3);
}

TEST(AttentionPlan, covers_every_query_and_block_once_and_uses_every_thread) {
  struct Shape {
    int64_t n_tokens, position, n_kv_heads, heads_per_kv, window;
  };
  for (const Shape& shape :
       {Shape{1, 8191, 1, 4, 0}, Shape{1, 100, 8, 2, 0}, Shape{512, 0, 1, 4, 512},
        Shape{5, 9000, 2, 40, 1000}, Shape{512, 3000, 8, 2, 0}}) {
    for (const int64_t n_threads : {1, 2, 16}) {
      const std::vector<SequenceKv> sequences(2, {0, shape.n_tokens, shape.position, {}, nullptr});
      const AttentionPlan plan = plan_attention(sequences, shape.n_kv_heads, shape.heads_per_kv,
                                                {shape.window}, n_threads);
      int64_t cost = 0, tile_cost = 0, tokens = 0, parts = 0, largest = 0;
      for (const AttentionTile& tile : plan.tiles) {
        const int64_t queries = tile.n_tokens * shape.heads_per_kv;
        tile_cost += (tile.end_block - tile.first_block) * queries;
        tokens += tile.n_tokens;
        if (tile.first_part < 0) continue;
        EXPECT_EQ(tile.first_part, parts);
        parts += (tile.end_block - tile.first_block) * queries;
      }
      EXPECT_EQ(plan.n_parts, parts);
      EXPECT_EQ(tokens, 2 * shape.n_tokens * shape.n_kv_heads);
      for (const AttentionItem& item : plan.items) {
        EXPECT_LT(item.first_block, item.end_block);
        cost += item.cost;
        largest = std::max(largest, item.cost);
      }
      EXPECT_EQ(cost, tile_cost);
      if (shape.position > 2000) {
        EXPECT_LE(largest * n_threads, cost + largest);
      }
    }
  }
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
