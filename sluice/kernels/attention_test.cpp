#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "sluice/kernels/kernels.h"
#include "sluice/kernels/stored_matrix.h"
#include "sluice/kernels/tables.h"

namespace sluice::kernels {
namespace {

/// Keys and values of n positions in blocks, with NaN wherever nothing may be read.
struct Cache {
  int64_t n, head_dim;
  KvType type;
  std::vector<float> keys, values;  ///< as stored, back in float32: [n, head_dim]
  std::vector<std::vector<std::byte>> blocks;
  std::vector<const void*> k, v;

  Cache(int64_t positions, int64_t dim, KvType kv, std::mt19937& random)
      : n(positions), head_dim(dim), type(kv) {
    keys = random_floats(n * dim, random);
    values = random_floats(n * dim, random);
    const int64_t n_blocks = (n + kKvBlockTokens - 1) / kKvBlockTokens;
    for (auto* floats : {&keys, &values}) {
      for (int64_t b = 0; b < n_blocks; ++b) blocks.push_back(store_block(*floats, b));
    }
    for (int64_t b = 0; b < n_blocks; ++b) {
      k.push_back(blocks[static_cast<size_t>(b)].data());
      v.push_back(blocks[static_cast<size_t>(n_blocks + b)].data());
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

  AttendTask task(const std::vector<float>& q, std::vector<float>& out) const {
    AttendTask t;
    t.q = q.data();
    t.k_blocks = k.data();
    t.v_blocks = v.data();
    t.last = n - 1;
    t.head_dim = static_cast<int32_t>(head_dim);
    t.type = type;
    t.scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
    t.out = out.data();
    return t;
  }
};

std::vector<double> reference(const Cache& cache, const AttendTask& t) {
  std::vector<double> s;
  double max = t.has_sink ? double{t.sink} : -1e300;
  for (int64_t j = t.first; j <= t.last; ++j) {
    double dot = 0;
    for (int64_t d = 0; d < cache.head_dim; ++d) {
      dot += double{t.q[d]} * double{cache.keys[static_cast<size_t>(j * cache.head_dim + d)]};
    }
    dot *= double{t.scale};
    if (t.softcap > 0) dot = double{t.softcap} * std::tanh(dot / double{t.softcap});
    s.push_back(dot);
    max = std::max(max, dot);
  }
  double sum = t.has_sink ? std::exp(double{t.sink} - max) : 0;
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

void expect_close(const Cache& cache, const AttendTask& t, const char* what) {
  kernels().attend(t);
  const std::vector<double> wanted = reference(cache, t);
  for (int64_t d = 0; d < cache.head_dim; ++d) {
    ASSERT_NEAR(t.out[d], wanted[static_cast<size_t>(d)], 3e-6)
        << what << ": head_dim " << cache.head_dim << ", [" << t.first << ", " << t.last
        << "], type " << static_cast<int>(t.type) << ", element " << d;
  }
}

TEST(Attend, agrees_with_double_precision_at_every_block_boundary) {
  std::mt19937 random(3);
  for (const KvType type : {KvType::f32, KvType::f16, KvType::bf16}) {
    for (const int64_t n : {1, 2, 15, 16, 17, 255, 256, 257, 511, 512, 513, 1000}) {
      const Cache cache(n, 64, type, random);
      const std::vector<float> q = random_floats(64, random);
      std::vector<float> out(64);
      expect_close(cache, cache.task(q, out), "causal");
    }
  }
}

TEST(Attend, takes_any_head_dim) {
  std::mt19937 random(4);
  for (const KvType type : {KvType::f32, KvType::f16, KvType::bf16}) {
    for (const int64_t dim : {1, 5, 16, 17, 31, 48, 80, 96, 128, 129, 192, 256, 500, 512}) {
      const Cache cache(300, dim, type, random);
      const std::vector<float> q = random_floats(dim, random);
      std::vector<float> out(static_cast<size_t>(dim));
      expect_close(cache, cache.task(q, out), "head_dim");
    }
  }
}

TEST(Attend, sees_its_window_only) {
  std::mt19937 random(5);
  Cache cache(800, 40, KvType::f16, random);
  const std::vector<float> q = random_floats(40, random);
  for (const int64_t last : {0, 3, 255, 256, 600, 799}) {
    for (const int64_t width : {1, 2, 17, 256, 300}) {
      std::vector<float> out(40);
      AttendTask t = cache.task(q, out);
      t.last = last;
      t.first = std::max<int64_t>(0, last + 1 - width);
      expect_close(cache, t, "window");
      for (int64_t b = 0; b < t.first / kKvBlockTokens; ++b) {  // dropped blocks are never touched
        cache.k[static_cast<size_t>(b)] = cache.v[static_cast<size_t>(b)] = nullptr;
      }
      const std::vector<float> before = out;
      kernels().attend(t);
      EXPECT_EQ(out, before);
      cache = Cache(800, 40, KvType::f16, random);
    }
  }
}

TEST(Attend, caps_scores_and_lets_a_sink_take_its_share) {
  std::mt19937 random(6);
  const Cache cache(520, 64, KvType::bf16, random);
  std::vector<float> q = random_floats(64, random);
  for (float& v : q) v *= 20;
  std::vector<float> out(64);
  for (const float softcap : {0.0F, 5.0F, 50.0F}) {
    for (const float sink : {-30.0F, 0.0F, 8.0F, 200.0F}) {
      AttendTask t = cache.task(q, out);
      t.softcap = softcap;
      expect_close(cache, t, "softcap");
      t.has_sink = true;
      t.sink = sink;
      expect_close(cache, t, "sink");
    }
  }
}

TEST(Attend, one_visible_position_gives_its_value) {
  std::mt19937 random(9);
  const Cache cache(257, 48, KvType::f32, random);
  const std::vector<float> q = random_floats(48, random);
  std::vector<float> out(48);
  AttendTask t = cache.task(q, out);
  t.first = t.last = 256;
  kernels().attend(t);
  for (size_t d = 0; d < 48; ++d) EXPECT_EQ(out[d], cache.values[256 * 48 + d]);
}

TEST(Attend, nothing_visible_gives_zeros) {
  std::mt19937 random(9);
  const Cache cache(3, 20, KvType::f32, random);
  const std::vector<float> q = random_floats(20, random);
  std::vector<float> out(20, 7.0F);
  AttendTask t = cache.task(q, out);
  t.first = 2;
  t.last = 1;
  kernels().attend(t);
  EXPECT_EQ(out, std::vector<float>(20, 0.0F));
}

TEST(Attend, huge_scores_do_not_overflow) {
  std::mt19937 random(10);
  const Cache cache(300, 64, KvType::f16, random);
  std::vector<float> q = random_floats(64, random);
  for (float& v : q) v *= 1e4F;
  std::vector<float> out(64);
  kernels().attend(cache.task(q, out));
  for (const float v : out) EXPECT_TRUE(std::isfinite(v));
}

TEST(Attend, is_near_the_portable_result) {
  std::mt19937 random(12);
  const Cache cache(700, 128, KvType::f16, random);
  const std::vector<float> q = random_floats(128, random);
  std::vector<float> a(128), b(128);
  kernels().attend(cache.task(q, a));
  portable_table.attend(cache.task(q, b));
  for (size_t d = 0; d < 128; ++d) EXPECT_NEAR(a[d], b[d], 2e-6);
}

}  // namespace
}  // namespace sluice::kernels
