#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "sluice/kernels/isa/tables.h"
#include "sluice/kernels/kernels.h"
#include "sluice/kernels/testing/stored_matrix.h"

namespace sluice::kernels {
namespace {

constexpr float kUntouched = 12345.0F;

/// Memory that starts at a multiple of 64.
struct Aligned {
  explicit Aligned(int64_t bytes) : storage(static_cast<size_t>(bytes) / 64 + 1) {
    std::memset(storage.data(), 0xff,
                storage.size() * 64);  // NaN where a kernel reads what nobody wrote
  }
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> storage;

  std::byte* data() { return storage.data()->bytes; }
};

/// A token's row, read back.
struct Quantized {
  std::vector<int32_t> q;  // with its high part
  std::vector<int8_t> high;
  std::vector<uint8_t> wide;      // per group of 32
  std::vector<float> scale;       // per group
  std::vector<int32_t> sum;       // per group
  std::vector<float> scaled_sum;  // per group

  Quantized(const std::byte* row, int64_t cols, int64_t group) {
    const Int8Row layout{cols};
    std::vector<int8_t> low(static_cast<size_t>(layout.padded_cols()));
    std::memcpy(low.data(), row, low.size());
    high.resize(low.size()), wide.resize(low.size() / 32);
    std::memcpy(high.data(), row + layout.high_offset(), high.size());
    std::memcpy(wide.data(), row + layout.wide_offset(), wide.size());
    for (size_t i = 0; i < low.size(); ++i) q.push_back(low[i] + 128 * high[i]);
    const auto n = static_cast<size_t>(layout.groups(group));
    scale.resize(n), sum.resize(n), scaled_sum.resize(n);
    const std::byte* p = row + layout.group_offset(group);
    std::memcpy(scale.data(), p, 4 * n);
    std::memcpy(sum.data(), p + 4 * n, 4 * n);
    std::memcpy(scaled_sum.data(), p + 8 * n, 4 * n);
  }
};

int64_t group_of(const Matrix& w) {
  if (w.format == Format::codes8) return w.group_size;
  switch (w.format) {
    case Format::nvfp4:
    case Format::q2_k:
    case Format::q3_k:
    case Format::q6_k:
      return 16;
    default:
      return 32;
  }
}

/// Floats of which some are far above their neighbours.
std::vector<float> floats_with_outliers(int64_t n, std::mt19937& random) {
  std::vector<float> x = random_floats(n, random);
  for (size_t i = 5; i < x.size(); i += 83) x[i] *= 40.0F;
  return x;
}

constexpr float kRefinedClip = 3.25F;

/// Some tokens are rounded plainly, most refined.
float clip_of(int64_t token) { return token % 4 == 1 ? 0.0F : kRefinedClip; }

struct Problem {
  StoredMatrix w;
  int64_t n_tokens, y_stride;
  Aligned rows;
  std::vector<const std::byte*> x;
  std::vector<float> floats;
  Aligned scratch;

  Problem(const Storage& storage, int64_t n_rows, int64_t cols, int64_t tokens,
          std::mt19937& random)
      : w(random_matrix(storage, n_rows, cols, random)),
        n_tokens(tokens),
        y_stride(n_rows + 2),
        rows(tokens * Int8Row{cols}.bytes()),
        floats(floats_with_outliers(tokens * cols, random)),
        scratch(Int8Row{cols}.scratch_bytes()) {
    for (int64_t t = 0; t < tokens; ++t) {
      std::byte* row = rows.data() + t * Int8Row{cols}.bytes();
      kernels().quantize(floats.data() + t * cols, 0, cols, cols, clip_of(t), row);
      x.push_back(row);
    }
  }
  std::vector<float> output() const {
    return std::vector<float>(static_cast<size_t>(n_tokens * y_stride), kUntouched);
  }
  void run(int64_t row_begin, int64_t row_end, int64_t token, int64_t n, std::vector<float>& y) {
    kernels().matmul_int8(w.matrix, row_begin, row_end, x.data() + token, n,
                          y.data() + token * y_stride, y_stride, scratch.data());
  }
  std::vector<float> one_by_one() {
    std::vector<float> y = output();
    for (int64_t t = 0; t < n_tokens; ++t) run(0, w.matrix.rows, t, 1, y);
    return y;
  }
};

/// Columns that end within a run, a batch of groups and 64 bytes, where the format allows it.
template <class Body>
void for_each_problem(int64_t rows, int64_t tokens, Body body) {
  std::mt19937 random(11);
  for (const Storage& storage : all_storages()) {
    if (!has_int8(storage.format)) continue;
    const int64_t step = storage.format == Format::nvfp4 ? 16
                         : storage.group_size > 0        ? storage.group_size
                         : storage.format >= Format::q2_k && storage.format <= Format::q6_k ? 256
                         : storage.format == Format::iq4_xs                                 ? 256
                                                                                            : 32;
    for (const int64_t cols : {int64_t{768}, step, 1280 + step}) {
      body(Problem(storage, rows, cols, tokens, random));
    }
  }
}

TEST(Int8, a_token_has_the_same_bits_alone_and_among_any_number) {
  for_each_problem(37, 19, [](Problem p) {
    const std::vector<float> alone = p.one_by_one();
    for (const int64_t split : {2, 3, 4, 5, 6, 7, 8, 9, 16, 19}) {
      std::vector<float> y = p.output();
      for (int64_t t = 0; t < p.n_tokens; t += split) {
        p.run(0, p.w.matrix.rows, t, std::min(split, p.n_tokens - t), y);
      }
      ASSERT_EQ(y, alone) << p.w.name << " in runs of " << split << " tokens, " << p.w.matrix.cols
                          << " columns";
    }
  });
}

TEST(Int8, rows_have_the_same_bits_however_they_are_split) {
  for_each_problem(35, 9, [](Problem p) {
    const std::vector<float> alone = p.one_by_one();
    for (const int64_t n : {1, 2, 9}) {
      for (const int64_t split : {1, 5, 16, 20, 32}) {
        std::vector<float> y = p.output();
        for (int64_t r = 0; r < p.w.matrix.rows; r += split) {
          for (int64_t t = 0; t < p.n_tokens; t += n) {
            p.run(r, std::min(r + split, p.w.matrix.rows), t, std::min(n, p.n_tokens - t), y);
          }
        }
        ASSERT_EQ(y, alone) << p.w.name << " in runs of " << split << " rows, " << n << " tokens";
      }
    }
  });
}

TEST(Int8, only_the_asked_outputs_are_written) {
  for_each_problem(36, 7, [](Problem p) {
    for (const int64_t n : {1, 2, 7}) {
      std::vector<float> y = p.output();
      p.run(3, 34, 0, n, y);
      for (int64_t t = 0; t < p.n_tokens; ++t) {
        for (int64_t r = 0; r < p.y_stride; ++r) {
          const bool asked = t < n && r >= 3 && r < 34;
          ASSERT_EQ(y[static_cast<size_t>(t * p.y_stride + r)] != kUntouched, asked) << p.w.name;
        }
      }
    }
  });
}

/// The exact product of the dequantized weights and the rounded activations, and the bound on what rounding
/// to float in the documented order may add.
TEST(Int8, the_result_is_the_product_with_the_rounded_activations) {
  for_each_problem(5, 3, [](Problem p) {
    const int64_t cols = p.w.matrix.cols;
    std::vector<float> y = p.output(), row(static_cast<size_t>(cols));
    p.run(0, p.w.matrix.rows, 0, p.n_tokens, y);
    for (int64_t r = 0; r < p.w.matrix.rows; ++r) {
      kernels().dequantize_row(p.w.matrix, r, row.data());
      for (int64_t t = 0; t < p.n_tokens; ++t) {
        const Quantized x(p.x[static_cast<size_t>(t)], cols, 32);
        double exact = 0, magnitude = 0;
        for (int64_t k = 0; k < cols; ++k) {
          const auto i = static_cast<size_t>(k);
          const double product = double{row[i]} * x.q[i] * double{x.scale[i / 32]};
          exact += product;
          magnitude +=
              (std::abs(double{row[i]}) + 8.0) * std::abs(x.q[i]) * double{x.scale[i / 32]};
        }
        const double steps = static_cast<double>(cols / group_of(p.w.matrix)) / 8 + 12;
        ASSERT_NEAR(y[static_cast<size_t>(t * p.y_stride + r)], exact, steps * 0x1p-24 * magnitude)
            << p.w.name << " row " << r;
      }
    }
  });
}

/// Where every set fuses alike, the bits are equal; portable rounds twice and has its own.
TEST(Int8, sets_that_fuse_agree_to_the_bit) {
  const KernelTables all = all_kernels();
  if (kernels().isa == "portable") GTEST_SKIP() << "portable rounds products";
  for_each_problem(33, 5, [&](Problem p) {
    const std::vector<float> alone = p.one_by_one();
    for (const auto* table = all.begin; table != all.end; ++table) {
      if (!(*table)->supported() || (*table)->isa == "portable") continue;
      std::vector<float> y = p.output();
      (*table)->matmul_int8(p.w.matrix, 0, p.w.matrix.rows, p.x.data(), p.n_tokens, y.data(),
                            p.y_stride, p.scratch.data());
      ASSERT_EQ(y, alone) << p.w.name << " in " << (*table)->isa;
    }
  });
}

#ifdef SLUICE_HAS_EMULATED_VNNI
/// avx_vnni is compiled once more with its instruction written out, so that every processor that has AVX2 tests the rest of it.
TEST(Int8, avx_vnni_without_its_instruction_agrees_to_the_bit) {
  if (kernels().isa == "portable") GTEST_SKIP() << "portable rounds products";
  for (const int64_t tokens : {1, 2, 5, 19}) {
    for_each_problem(33, tokens, [&](Problem p) {
      std::vector<float> y = p.output();
      avx_vnni_emulated_table.matmul_int8(p.w.matrix, 0, p.w.matrix.rows, p.x.data(), p.n_tokens,
                                          y.data(), p.y_stride, p.scratch.data());
      ASSERT_EQ(y, p.one_by_one()) << p.w.name;
    });
  }
}
#endif

std::vector<std::byte> quantized(const KernelTable& table, const std::vector<float>& x,
                                 float clip) {
  const auto cols = static_cast<int64_t>(x.size());
  Aligned row(Int8Row{cols}.bytes());
  table.quantize(x.data(), 0, cols, cols, clip, row.data());
  return {row.data(), row.data() + Int8Row{cols}.bytes()};
}

/// Sixteen partial sums by index mod 16, then the tree.
float sum_of_magnitudes(const float* x, int64_t n) {
  float sums[16] = {};
  for (int64_t i = 0; i < n; ++i) sums[i % 16] += std::abs(x[i]);
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

void expect_definition(const std::vector<float>& x, float clip, const std::vector<std::byte>& row) {
  const auto cols = static_cast<int64_t>(x.size());
  const Quantized r32(row.data(), cols, 32), r16(row.data(), cols, 16);
  for (int64_t g = 0; g < (cols + 31) / 32; ++g) {
    float largest = 0;
    const int64_t end = std::min(cols, 32 * g + 32);
    for (int64_t k = 32 * g; k < end; ++k)
      largest = std::max(largest, std::abs(x[static_cast<size_t>(k)]));
    const float limit = clip / 32.0F * sum_of_magnitudes(x.data() + 32 * g, end - 32 * g);
    if (limit > 0) largest = std::min(largest, limit);
    int32_t sums[2] = {};
    for (int64_t k = 32 * g; k < end; ++k) {
      const auto i = static_cast<size_t>(k);
      EXPECT_EQ(r32.q[i], std::nearbyintf(x[i] * (127.0F / largest)));
      EXPECT_EQ(r32.high[i] != 0, std::abs(r32.q[i]) > 127);
      sums[k % 32 / 16] += r32.q[i];
    }
    for (int64_t f = 0; f < 8; ++f) {
      const int8_t* high = r32.high.data() + 32 * g + 4 * f;
      const bool any = std::any_of(high, high + 4, [](int8_t h) { return h != 0; });
      EXPECT_EQ((r32.wide[static_cast<size_t>(g)] >> f & 1) != 0, any);
    }
    const auto i = static_cast<size_t>(g);
    EXPECT_EQ(r32.scale[i], largest / 127.0F);
    EXPECT_EQ(r32.sum[i], sums[0] + sums[1]);
    EXPECT_EQ(r32.scaled_sum[i], static_cast<float>(sums[0] + sums[1]) * r32.scale[i]);
    for (size_t h = 0; h < 2; ++h) {
      EXPECT_EQ(r16.scale[2 * i + h], r32.scale[i]);
      EXPECT_EQ(r16.sum[2 * i + h], sums[h]);
    }
  }
}

TEST(Quantize, every_set_agrees_with_the_definition_to_the_bit) {
  std::mt19937 random(3);
  for (const int64_t cols : {16, 32, 48, 96, 2048, 2080}) {
    for (const float clip : {0.0F, 1.0F, kRefinedClip}) {
      std::vector<float> x = floats_with_outliers(cols, random);
      x[3] = 0.0F;
      for (size_t i = 0; i < std::min<size_t>(16, x.size()); ++i) x[i] *= 1e-3F;
      const std::vector<std::byte> row = quantized(kernels(), x, clip);
      EXPECT_EQ(row, quantized(portable_table, x, clip)) << cols;
      expect_definition(x, clip, row);
    }
  }
}

TEST(Quantize, an_outlier_does_not_make_its_neighbours_coarser) {
  std::mt19937 random(6);
  std::vector<float> x = random_floats(32, random);
  x[7] = 500.0F;
  const std::vector<std::byte> plain = quantized(kernels(), x, 0.0F);
  const std::vector<std::byte> refined = quantized(kernels(), x, kRefinedClip);
  const Quantized p(plain.data(), 32, 32), r(refined.data(), 32, 32);
  EXPECT_LT(r.scale[0], p.scale[0] / 7);
  EXPECT_NEAR(static_cast<float>(r.q[7]) * r.scale[0], 500.0F, r.scale[0] / 2);
  EXPECT_EQ(r.wide[0], 2);
}

TEST(Quantize, parts_make_the_same_row) {
  std::mt19937 random(4);
  const std::vector<float> x = floats_with_outliers(1104, random);
  Aligned row(Int8Row{1104}.bytes());
  for (int64_t k = 0; k < 1104; k += 160) {
    kernels().quantize(x.data() + k, k, std::min<int64_t>(k + 160, 1104), 1104, kRefinedClip,
                       row.data());
  }
  EXPECT_EQ((std::vector<std::byte>{row.data(), row.data() + Int8Row{1104}.bytes()}),
            quantized(kernels(), x, kRefinedClip));
}

TEST(Quantize, what_is_not_finite_spreads_and_what_is_tiny_is_zero) {
  std::mt19937 random(5);
  const Storage storage = all_storages()[12];
  ASSERT_TRUE(has_int8(storage.format));
  const StoredMatrix w = random_matrix(storage, 3, 256, random);
  Aligned scratch(Int8Row{256}.scratch_bytes()), row(Int8Row{256}.bytes());
  const std::byte* const x[] = {row.data()};
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::nanf("")}) {
    std::vector<float> values = random_floats(256, random);
    values[77] = bad;
    kernels().quantize(values.data(), 0, 256, 256, kRefinedClip, row.data());
    float y[3];
    kernels().matmul_int8(w.matrix, 0, 3, x, 1, y, 3, scratch.data());
    EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[2]));
  }
  for (const float small : {0.0F, 1e-42F, 0x1p-101F}) {
    kernels().quantize(std::vector<float>(256, small).data(), 0, 256, 256, kRefinedClip,
                       row.data());
    float y[3];
    kernels().matmul_int8(w.matrix, 0, 3, x, 1, y, 3, scratch.data());
    EXPECT_EQ(y[0], 0.0F);
  }
}

}  // namespace
}  // namespace sluice::kernels
