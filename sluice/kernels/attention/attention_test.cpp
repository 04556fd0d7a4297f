#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "sluice/kernels/isa/tables.h"
#include "sluice/kernels/kernels.h"
#include "sluice/kernels/testing/stored_matrix.h"

namespace sluice::kernels {
namespace {

/// Keys and values of n positions in blocks, with NaN wherever nothing may be read.
struct Cache {
  int64_t n, head_dim;
  KvType type;
  std::vector<float> keys, values;  ///< as stored, back in float32: [n, head_dim]
  std::vector<std::vector<std::byte>> blocks;

  Cache(int64_t positions, int64_t dim, KvType kv, std::mt19937& random)
      : n(positions), head_dim(dim), type(kv) {
    keys = random_floats(n * dim, random);
    values = random_floats(n * dim, random);
    const int64_t n_blocks = (n + kKvBlockTokens - 1) / kKvBlockTokens;
    for (auto* floats : {&keys, &values}) {
      for (int64_t b = 0; b < n_blocks; ++b) blocks.push_back(store_block(*floats, b));
    }
  }

  std::vector<std::byte> store_block(std::vector<float>& floats, int64_t b) const {
    const int64_t size = type == KvType::f32 ? 4 : 2, count = kKvBlockTokens * head_dim;
    std::vector<float> block(static_cast<size_t>(count), std::numeric_limits<float>::quiet_NaN());
    const int64_t begin = b * count, used = std::min(count, n * head_dim - begin);
    std::copy_n(floats.begin() + begin, used, block.begin());
    std::vector<std::byte> out(static_cast<size_t>(count * size));
    portable_table.store_kv(block.data(), count, type, out.data());
    Matrix m;  // reading back what was stored: one long row
    m.format = type == KvType::f32 ? Format::f32 : type == KvType::f16 ? Format::f16 : Format::bf16;
    m.rows = 1;
    m.cols = used;
    m.data = out.data();
    portable_table.dequantize_row(m, 0, floats.data() + begin);
    return out;
  }

  const void* block(const std::vector<float>& of, int64_t b) const {
    const size_t half = blocks.size() / 2;
    return blocks[static_cast<size_t>(b) + (&of == &values ? half : 0)].data();
  }
};

struct Query {
  std::vector<float> q;
  int64_t first, last;  ///< visible positions, inclusive
};

struct Settings {
  float scale = 0.125F;
  float softcap = 0.0F;
  std::optional<float> sink = {};
};

using Outputs = std::vector<std::vector<float>>;

/// Attention of queries in one tile, over all blocks that one of them sees.
Outputs attend(const Cache& cache, const std::vector<Query>& queries, const Settings& settings,
               const KernelTable& table = kernels()) {
  const int64_t lanes = (cache.head_dim + 15) / 16 * 16, stride = kPartHeader + lanes;
  const size_t n = queries.size();
  std::vector<float> q(n * static_cast<size_t>(lanes)), parts(n * static_cast<size_t>(stride));
  std::vector<float> states(parts.size());
  std::vector<Visible> visible(n);
  int64_t first = cache.n, last = -1;
  for (size_t i = 0; i < n; ++i) {
    std::copy(queries[i].q.begin(), queries[i].q.end(), q.data() + static_cast<int64_t>(i) * lanes);
    states[i * static_cast<size_t>(stride)] = -std::numeric_limits<float>::infinity();
    first = std::min(first, queries[i].first);
    last = std::max(last, queries[i].last);
  }
  AttendTask task{.n_queries = static_cast<int64_t>(n),
                  .q = q.data(),
                  .visible = visible.data(),
                  .head_dim = static_cast<int32_t>(cache.head_dim),
                  .type = cache.type,
                  .scale = settings.scale,
                  .softcap = settings.softcap,
                  .parts = parts.data()};
  for (int64_t b = first / kKvBlockTokens; b <= last / kKvBlockTokens && last >= 0; ++b) {
    for (size_t i = 0; i < n; ++i) {
      const int64_t base = b * kKvBlockTokens;
      visible[i].begin = static_cast<int32_t>(std::clamp<int64_t>(queries[i].first - base, 0, 256));
      visible[i].end =
          static_cast<int32_t>(std::clamp<int64_t>(queries[i].last + 1 - base, 0, 256));
    }
    task.k = cache.block(cache.keys, b);
    task.v = cache.block(cache.values, b);
    task.next = b % 2 == 0 ? task.k : nullptr;
    table.attend(task);
    for (int64_t i = 0; i < static_cast<int64_t>(n); ++i) {
      table.join_part(parts.data() + i * stride, task.head_dim, states.data() + i * stride);
    }
  }
  Outputs out(n, std::vector<float>(static_cast<size_t>(cache.head_dim)));
  for (size_t i = 0; i < n; ++i) {
    table.finish_part(states.data() + static_cast<int64_t>(i) * stride,
                      settings.sink ? &*settings.sink : nullptr, task.head_dim, out[i].data());
  }
  return out;
}

std::vector<float> attend_alone(const Cache& cache, const Query& query, const Settings& settings,
                                const KernelTable& table = kernels()) {
  return attend(cache, {query}, settings, table)[0];
}

std::vector<double> reference(const Cache& cache, const Query& t, const Settings& settings) {
  std::vector<double> s;
  double max = settings.sink ? double{*settings.sink} : -1e300;
  for (int64_t j = t.first; j <= t.last; ++j) {
    double dot = 0;
    for (int64_t d = 0; d < cache.head_dim; ++d) {
      dot += double{t.q[static_cast<size_t>(d)]} *
             double{cache.keys[static_cast<size_t>(j * cache.head_dim + d)]};
    }
    dot *= double{settings.scale};
    if (settings.softcap > 0) {
      dot = double{settings.softcap} * std::tanh(dot / double{settings.softcap});
    }
    s.push_back(dot);
    max = std::max(max, dot);
  }
  double sum = settings.sink ? std::exp(double{*settings.sink} - max) : 0;
  std::vector<double> out(static_cast<size_t>(cache.head_dim), 0.0);
  for (int64_t j = t.first; j <= t.last; ++j) {
    const double p = std::exp(s[static_cast<size_t>(j - t.first)] - max);
    sum += p;
    for (int64_t d = 0; d < cache.head_dim; ++d) {
      out[static_cast<size_t>(d)] +=
          p * double{cache.values[static_cast<size_t>(j * cache.head_dim + d)]};
    }
  }
  for (double& o : out) o /= sum;
  return out;
}

/// The canonical order of kernels.h, one float operation after another.
class Canonical {
 public:
  explicit Canonical(const KernelTable& table) : fused_(table.isa != "portable") {}

  std::vector<float> attend(const Cache& cache, const Query& query,
                            const Settings& settings) const {
    const auto dim = static_cast<size_t>(cache.head_dim);
    std::vector<float> values(dim, 0.0F);
    float max = -std::numeric_limits<float>::infinity(), sum = 0;
    const auto join = [&](float part_max, float part_sum, const std::vector<float>* part) {
      const float joint = std::max(max, part_max);
      const float mine = exp(max - joint), theirs = exp(part_max - joint);
      max = joint;
      sum = sum * mine + part_sum * theirs;
      for (size_t d = 0; d < dim; ++d) {
        values[d] = values[d] * mine;
        if (part) values[d] = mul_add((*part)[d], theirs, values[d]);
      }
    };
    for (int64_t begin = query.first; begin <= query.last;) {
      const int64_t end = std::min(query.last + 1, (begin / kKvBlockTokens + 1) * kKvBlockTokens);
      std::vector<float> p;
      for (int64_t j = begin; j < end; ++j)
        p.push_back(dot(query.q, row(cache.keys, j, dim)) * settings.scale);
      const float part_max = *std::max_element(p.begin(), p.end());
      float sums[16] = {};
      std::vector<float> part(dim, 0.0F);
      for (int64_t j = begin; j < end; ++j) {
        const float pj = exp(p[static_cast<size_t>(j - begin)] - part_max);
        sums[j % 16] += pj;
        for (size_t d = 0; d < dim; ++d)
          part[d] = mul_add(pj, row(cache.values, j, dim)[d], part[d]);
      }
      join(part_max, tree(sums), &part);
      begin = end;
    }
    if (settings.sink) join(*settings.sink, 1.0F, nullptr);
    for (float& v : values) v /= sum;
    return values;
  }

 private:
  float mul_add(float a, float b, float c) const { return fused_ ? std::fma(a, b, c) : a * b + c; }
  static const float* row(const std::vector<float>& rows, int64_t j, size_t dim) {
    return rows.data() + static_cast<size_t>(j) * dim;
  }
  static float tree(float (&s)[16]) {
    for (const int half : {8, 4, 2, 1}) {
      for (int i = 0; i < half; ++i) s[i] += s[i + half];
    }
    return s[0];
  }
  float dot(const std::vector<float>& q, const float* k) const {
    float sums[16] = {};
    for (size_t d = 0; d < q.size(); ++d) sums[d % 16] = mul_add(q[d], k[d], sums[d % 16]);
    return tree(sums);
  }
  /// math_body.h's, for one lane.
  float exp(float x) const {
    x = std::min(89.0F, std::max(-104.0F, x));
    const float whole = mul_add(x, 0x1.715476p0F, 0x1.8p23F) - 0x1.8p23F;
    float r = mul_add(whole, -0x1.63p-1F, x);
    r = mul_add(whole, 0x1.bd0106p-13F, r);
    float p = 0.00139505393F;
    for (const float c : {0.00836891867F, 0.041666206F, 0.166665182F, 0.5F}) p = mul_add(p, r, c);
    p = mul_add(p * r, r, r) + 1.0F;
    const int n = static_cast<int>(whole), half = n >> 1;
    return p * std::ldexp(1.0F, half) * std::ldexp(1.0F, n - half);
  }
  bool fused_;
};

float default_scale(const Cache& cache) {
  return 1.0F / std::sqrt(static_cast<float>(cache.head_dim));
}

void expect_close(const Cache& cache, const Query& query, const Settings& settings,
                  const char* what) {
  const std::vector<float> out = attend_alone(cache, query, settings);
  const std::vector<double> wanted = reference(cache, query, settings);
  for (size_t d = 0; d < out.size(); ++d) {
    ASSERT_NEAR(out[d], wanted[d], 3e-6)
        << what << ": head_dim " << cache.head_dim << ", [" << query.first << ", " << query.last
        << "], type " << static_cast<int>(cache.type) << ", element " << d;
  }
}

TEST(Attend, agrees_with_double_precision_at_every_block_boundary) {
  std::mt19937 random(3);
  for (const KvType type : {KvType::f32, KvType::f16, KvType::bf16}) {
    for (const int64_t n : {1, 2, 15, 16, 17, 255, 256, 257, 511, 512, 513, 1000}) {
      const Cache cache(n, 64, type, random);
      expect_close(cache, {random_floats(64, random), 0, n - 1}, {}, "causal");
    }
  }
}

TEST(Attend, takes_any_head_dim) {
  std::mt19937 random(4);
  for (const KvType type : {KvType::f32, KvType::f16, KvType::bf16}) {
    for (const int64_t dim : {1, 5, 16, 17, 31, 48, 80, 96, 128, 129, 192, 256, 500, 512}) {
      const Cache cache(300, dim, type, random);
      expect_close(cache, {random_floats(dim, random), 0, 299}, {.scale = default_scale(cache)},
                   "head_dim");
    }
  }
}

TEST(Attend, follows_the_canonical_order_bit_for_bit) {
  std::mt19937 random(14);
  for (const KernelTable* table : {&kernels(), &portable_table}) {
    const Canonical canonical(*table);
    for (const KvType type : {KvType::f32, KvType::f16, KvType::bf16}) {
      for (const int64_t dim : {3, 16, 24, 64, 100, 128, 208}) {
        const Cache cache(700, dim, type, random);
        std::vector<Query> queries;  // a tile of three query heads of four tokens, window 400
        for (int64_t i = 0; i < 12; ++i) {
          const int64_t last = 509 + i / 3 + (i == 11 ? 180 : 0);
          queries.push_back({random_floats(dim, random), std::max<int64_t>(0, last - 399), last});
        }
        for (const std::optional<float> sink :
             {std::optional<float>(), std::optional<float>(1.5F)}) {
          const Settings settings{.scale = default_scale(cache), .sink = sink};
          const Outputs out = attend(cache, queries, settings, *table);
          for (size_t i = 0; i < queries.size(); ++i) {
            EXPECT_EQ(out[i], canonical.attend(cache, queries[i], settings))
                << table->isa << ", head_dim " << dim << ", query " << i;
          }
        }
      }
    }
  }
}

TEST(Attend, a_query_gives_the_same_bits_in_every_tile) {
  std::mt19937 random(15);
  for (const KvType type : {KvType::f32, KvType::f16, KvType::bf16}) {
    for (const int64_t dim : {7, 40, 64, 80, 112, 256}) {
      const Cache cache(560, dim, type, random);
      for (const int64_t window : {1000, 259, 31, 1}) {
        const Settings settings{.scale = default_scale(cache),
                                .softcap = window == 31 ? 3.0F : 0.0F};
        std::vector<Query> queries;
        Outputs alone;
        for (int64_t i = 0; i < 70; ++i) {  // more than any tile holds; over a block's boundary
          const int64_t last = 490 + i;
          queries.push_back(
              {random_floats(dim, random), std::max<int64_t>(0, last - window + 1), last});
          alone.push_back(attend_alone(cache, queries.back(), settings));
        }
        for (const size_t size : {2, 3, 4, 5, 6, 7, 13, 32, 33, 70}) {
          for (size_t at = 0; at < queries.size(); at += size) {
            const size_t count = std::min(size, queries.size() - at);
            const auto from = queries.begin() + static_cast<int64_t>(at);
            const Outputs out = attend(cache, {from, from + static_cast<int64_t>(count)}, settings);
            for (size_t i = 0; i < count; ++i) {
              ASSERT_EQ(out[i], alone[at + i]) << "tile of " << size << ", query " << at + i
                                               << ", head_dim " << dim << ", window " << window;
            }
          }
        }
      }
    }
  }
}

TEST(Attend, what_a_query_does_not_see_may_be_anything) {
  std::mt19937 random(16);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const KvType type : {KvType::f32, KvType::f16}) {
    const Cache cache(200, 48, type, random);
    Cache damaged = cache;  // positions that the tile's other query sees
    const auto element = static_cast<size_t>(type == KvType::f32 ? 4 : 2);
    for (std::vector<std::byte>& block : damaged.blocks) {
      std::vector<float> rubbish(48, nan);
      for (const size_t j : {0, 1, 99, 150, 199}) {
        portable_table.store_kv(rubbish.data(), 48, type, block.data() + j * 48 * element);
      }
    }
    const Query sees{random_floats(48, random), 2, 98}, other{random_floats(48, random), 0, 199};
    for (const float softcap : {0.0F, 2.0F}) {
      const Settings settings{.softcap = softcap};
      const std::vector<float> wanted = attend_alone(cache, sees, settings);
      EXPECT_EQ(attend(damaged, {sees, other}, settings)[0], wanted);
      EXPECT_EQ(attend(damaged, {other, sees, sees, other, sees}, settings)[4], wanted);
    }
  }
}

TEST(Attend, sees_its_window_only) {
  std::mt19937 random(5);
  const Cache cache(800, 40, KvType::f16, random);
  for (const int64_t last : {0, 3, 255, 256, 600, 799}) {
    for (const int64_t width : {1, 2, 17, 256, 300}) {
      expect_close(cache, {random_floats(40, random), std::max<int64_t>(0, last + 1 - width), last},
                   {}, "window");
    }
  }
}

TEST(Attend, caps_scores_and_lets_a_sink_take_its_share) {
  std::mt19937 random(6);
  const Cache cache(520, 64, KvType::bf16, random);
  Query query{random_floats(64, random), 0, 519};
  for (float& v : query.q) v *= 20;
  for (const float softcap : {0.0F, 5.0F, 50.0F}) {
    expect_close(cache, query, {.softcap = softcap}, "softcap");
    for (const float sink : {-30.0F, 0.0F, 8.0F, 200.0F}) {
      expect_close(cache, query, {.softcap = softcap, .sink = sink}, "sink");
    }
  }
}

TEST(Attend, one_visible_position_gives_its_value) {
  std::mt19937 random(9);
  const Cache cache(257, 48, KvType::f32, random);
  const std::vector<float> out = attend_alone(cache, {random_floats(48, random), 256, 256}, {});
  for (size_t d = 0; d < 48; ++d) EXPECT_EQ(out[d], cache.values[256 * 48 + d]);
}

TEST(Attend, nothing_visible_gives_zeros) {
  std::mt19937 random(9);
  const Cache cache(3, 20, KvType::f32, random);
  const Query nothing{random_floats(20, random), 2, 1}, all{random_floats(20, random), 0, 2};
  EXPECT_EQ(attend_alone(cache, nothing, {}), std::vector<float>(20, 0.0F));
  const Outputs both = attend(cache, {nothing, all}, {});
  EXPECT_EQ(both[0], std::vector<float>(20, 0.0F));
  EXPECT_EQ(both[1], attend_alone(cache, all, {}));
}

TEST(Attend, huge_scores_do_not_overflow) {
  std::mt19937 random(10);
  const Cache cache(300, 64, KvType::f16, random);
  Query query{random_floats(64, random), 0, 299};
  for (float& v : query.q) v *= 1e4F;
  for (const float v : attend_alone(cache, query, {})) EXPECT_TRUE(std::isfinite(v));
}

TEST(Attend, is_near_the_portable_result) {
  std::mt19937 random(12);
  const Cache cache(700, 128, KvType::f16, random);
  const Query query{random_floats(128, random), 0, 699};
  const std::vector<float> a = attend_alone(cache, query, {});
  const std::vector<float> b = attend_alone(cache, query, {}, portable_table);
  for (size_t d = 0; d < 128; ++d) EXPECT_NEAR(a[d], b[d], 2e-6);
}

}  // namespace
}  // namespace sluice::kernels
