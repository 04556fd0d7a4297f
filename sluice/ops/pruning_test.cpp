#include "sluice/ops/pruning.h"

#include <gtest/gtest.h>
#include <mlx/mlx.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "sluice/ops/kv_rows.h"

namespace sluice::ops {
namespace {

using kernels::kKvBlockTokens;
using Blocks = std::vector<std::shared_ptr<residency::KvBlock>>;

std::vector<float> random_values(size_t n, uint32_t seed, float scale) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> v(n);
  for (float& x : v) x = normal(random);
  return v;
}

struct PruningCase {
  int64_t n_kv_heads = 2, heads_per_kv = 3, head_dim = 24;
  bool keys_only = false;
  float softcap = 0;
  bool sinks = false;
  int64_t n_tokens = 1500, n_kept = 768;
};

struct Pruned {
  std::vector<float> keys, queries,
      sinks;  // [n_kv_heads, n_tokens, head_dim], as Pruning::queries, [n_heads]
  std::vector<std::vector<int32_t>>
      rows;  // of each head those that were copied, told by their values
};

/// Float32 keys; a row's value, or what stands for it, has the row's number as its first element.
class PruningOps : public testing::Test {
 protected:
  Blocks new_blocks(int64_t n_tokens, const KvLayerLayout& layout) {
    Blocks blocks;
    const auto bytes = static_cast<uint64_t>(2 * LayerRows{layout}.half_bytes());
    for (int64_t i = 0; i < (n_tokens + kKvBlockTokens - 1) / kKvBlockTokens; ++i)
      blocks.push_back(std::make_shared<residency::KvBlock>(kv_pool, Bytes{bytes}));
    return blocks;
  }

  Pruned run(const PruningCase& c, int n_threads, int64_t window = 0) {
    const KvLayerLayout layout{.n_kv_heads = c.n_kv_heads,
                               .head_dim = c.head_dim,
                               .type = kernels::KvType::f32,
                               .keys_only = c.keys_only};
    const LayerRows at{layout};
    const auto d = static_cast<size_t>(c.head_dim);
    const int64_t n_heads = c.n_kv_heads * c.heads_per_kv;
    Pruned got{random_values(static_cast<size_t>(c.n_kv_heads * c.n_tokens) * d, 1, 1),
               random_values(static_cast<size_t>(kObserved * n_heads) * d, 2, 1),
               random_values(static_cast<size_t>(n_heads), 3, 2),
               {}};
    SequenceKv sequence{.n_tokens = kObserved, .position = c.n_tokens - kObserved};
    sequence.blocks = new_blocks(c.n_tokens, layout);
    sequence.kept = new_blocks(c.n_kept, layout);
    for (int64_t head = 0; head < c.n_kv_heads; ++head) {
      for (int64_t i = 0; i < c.n_tokens; ++i) {
        const auto number = static_cast<float>(i);
        float* const key = got.keys.data() + static_cast<size_t>(head * c.n_tokens + i) * d;
        if (c.keys_only) key[d - 1] = number / 4096;
        const residency::KvBlock& block = *sequence.blocks[static_cast<size_t>(i / kKvBlockTokens)];
        std::memcpy(at.keys(block, head, i % kKvBlockTokens), key, d * sizeof(float));
        if (!c.keys_only)
          std::memcpy(at.values(block, head, i % kKvBlockTokens), &number, sizeof(float));
      }
    }
    ThreadPool threads(n_threads);
    const Context context{
        mx::default_stream(mx::Device::cpu), threads, kernels::kernels(), weights, errors, scratch};
    if (window > 0) {
      keep_last(context, sequence, layout, window);
    } else {
      keep_attended(context, {.sequence = sequence,
                              .layout = layout,
                              .heads_per_kv = c.heads_per_kv,
                              .scale = 0.4F,
                              .softcap = c.softcap,
                              .sinks = c.sinks ? got.sinks.data() : nullptr,
                              .queries = got.queries.data()});
    }
    for (int64_t head = 0; head < c.n_kv_heads; ++head) {
      got.rows.emplace_back();
      for (int64_t i = window > 0 ? c.n_kept - window + 1 : 0; i < c.n_kept; ++i) {
        const residency::KvBlock& block = *sequence.kept[static_cast<size_t>(i / kKvBlockTokens)];
        std::vector<float> key(d);
        std::memcpy(key.data(), at.keys(block, head, i % kKvBlockTokens), d * sizeof(float));
        float number = key[d - 1] * 4096;
        if (!c.keys_only)
          std::memcpy(&number, at.values(block, head, i % kKvBlockTokens), sizeof(float));
        const auto row = static_cast<int32_t>(number);
        const float* const expected =
            got.keys.data() + static_cast<size_t>(head * c.n_tokens + row) * d;
        EXPECT_TRUE(std::equal(key.begin(), key.end(), expected))
            << "head " << head << " row " << i;
        got.rows.back().push_back(row);
      }
    }
    return got;
  }

  residency::WeightStore weights{io::TensorIndex{}};
  ErrorSlot errors;
  Scratch scratch;
  residency::KvPool kv_pool;
};

/// What the last tokens' queries attend, pooled, in double and with nothing shared with the code.
std::vector<double> pooled_attention(const PruningCase& c, const Pruned& p, int64_t head) {
  std::vector<double> attention(static_cast<size_t>(c.n_tokens));
  for (int64_t t = 0; t < kObserved; ++t) {
    for (int64_t g = 0; g < c.heads_per_kv; ++g) {
      const float* const q =
          p.queries.data() + ((head * kObserved + t) * c.heads_per_kv + g) * c.head_dim;
      std::vector<double> e;
      double sum = c.sinks ? std::exp(p.sinks[static_cast<size_t>(head * c.heads_per_kv + g)]) : 0;
      for (int64_t j = 0; j <= c.n_tokens - kObserved + t; ++j) {
        double score = 0;
        for (int64_t i = 0; i < c.head_dim; ++i)
          score +=
              double{q[i]} * p.keys[static_cast<size_t>((head * c.n_tokens + j) * c.head_dim + i)];
        score *= double{0.4F};
        if (c.softcap > 0) score = c.softcap * std::tanh(score / c.softcap);
        e.push_back(std::exp(score));
        sum += e.back();
      }
      for (size_t j = 0; j < e.size(); ++j) attention[j] += e[j] / sum;
    }
  }
  std::vector<double> pooled(attention.size());
  for (int64_t i = kKeptFirst; i < c.n_tokens - kKeptLast; ++i) {
    for (int64_t j = -8; j <= 8; ++j)
      pooled[static_cast<size_t>(i)] += attention[static_cast<size_t>(i + j)];
  }
  return pooled;
}

TEST_F(PruningOps, keeps_what_is_attended_most_as_computed_in_double) {
  for (const PruningCase& c :
       {PruningCase{},
        {.heads_per_kv = 1, .head_dim = 64, .n_tokens = 2111, .n_kept = 1024},
        {.softcap = 2, .sinks = true},
        {.n_kv_heads = 1, .heads_per_kv = 40, .head_dim = 72, .keys_only = true}}) {
    const Pruned got = run(c, 2);
    EXPECT_EQ(run(c, 1).rows, got.rows);
    for (int64_t head = 0; head < c.n_kv_heads; ++head) {
      const std::vector<int32_t>& rows = got.rows[static_cast<size_t>(head)];
      ASSERT_TRUE(std::ranges::is_sorted(rows, std::ranges::less_equal()));
      const std::vector<double> pooled = pooled_attention(c, got, head);
      std::vector<double> order(pooled.begin() + kKeptFirst, pooled.end() - kKeptLast);
      std::ranges::sort(order, std::greater());
      const double least = order[static_cast<size_t>(c.n_kept - kKeptFirst - kKeptLast - 1)];
      int64_t n_between = 0, n_unclear = 0;
      for (int64_t i = 0; i < c.n_tokens; ++i) {
        const bool is_kept = std::ranges::binary_search(rows, static_cast<int32_t>(i));
        if (i < kKeptFirst || i >= c.n_tokens - kKeptLast) {
          EXPECT_TRUE(is_kept) << i;
          continue;
        }
        const double above = pooled[static_cast<size_t>(i)] / least - 1;
        n_between += is_kept ? 1 : 0;
        n_unclear += std::abs(above) < 1e-4 ? 1 : 0;
        if (std::abs(above) >= 1e-4)
          EXPECT_EQ(is_kept, above > 0) << "head " << head << " token " << i;
      }
      EXPECT_EQ(n_between, c.n_kept - kKeptFirst - kKeptLast);
      EXPECT_LE(n_unclear, 3);
    }
    if (c.n_kv_heads > 1) EXPECT_NE(got.rows[0], got.rows[1]) << "each head chooses";
  }
}

TEST_F(PruningOps, of_a_window_the_last_rows_stay) {
  const PruningCase c;
  for (const int64_t window : {2, 300, 768}) {
    for (const std::vector<int32_t>& rows : run(c, 2, window).rows) {
      ASSERT_EQ(std::ssize(rows), window - 1);
      for (size_t i = 0; i < rows.size(); ++i)
        EXPECT_EQ(rows[i], c.n_tokens - std::ssize(rows) + static_cast<int64_t>(i));
    }
  }
}

TEST(KeptTokens, takes_who_follows_what_is_attended_and_the_earlier_of_equals) {
  std::vector<float> attention(2000, 0.0F);
  attention[1000] = 1;
  const std::vector<int32_t> kept = kept_tokens(attention, 768);
  ASSERT_EQ(kept.size(), 768U);
  std::vector<int32_t> between;
  for (const int32_t i : kept) {
    if (i >= kKeptFirst && i < 2000 - kKeptLast) between.push_back(i);
  }
  // 17 around it, and 111 of those that nobody attends.
  EXPECT_EQ(std::ranges::count_if(between, [](int32_t i) { return std::abs(i - 1000) <= 8; }), 17);
  EXPECT_EQ(between[110], kKeptFirst + 110);
  EXPECT_EQ(between[111], 992);
  attention[1500] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(kept_tokens(attention, 768).size(), 768U);
}

}  // namespace
}  // namespace sluice::ops
