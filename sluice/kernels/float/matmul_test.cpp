#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "sluice/kernels/isa/tables.h"
#include "sluice/kernels/kernels.h"
#include "sluice/kernels/testing/stored_matrix.h"

namespace sluice::kernels {
namespace {

constexpr float kUntouched = 12345.0F;

/// Inputs and outputs whose rows are longer than they need be.
struct Problem {
  StoredMatrix w;
  int64_t n_tokens, x_stride, y_stride;
  std::vector<float> x;

  Problem(const Storage& storage, int64_t rows, int64_t cols, int64_t tokens, std::mt19937& random)
      : w(random_matrix(storage, rows, cols, random)),
        n_tokens(tokens),
        x_stride(cols + 3),
        y_stride(rows + 2),
        x(random_floats((tokens - 1) * x_stride + cols, random)) {}

  std::vector<float> output() const {
    return std::vector<float>(static_cast<size_t>(n_tokens * y_stride), kUntouched);
  }
  void run(const KernelTable& table, int64_t row_begin, int64_t row_end, int64_t token, int64_t n,
           std::vector<float>& y) const {
    table.matmul(w.matrix, row_begin, row_end, x.data() + token * x_stride, x_stride, n,
                 y.data() + token * y_stride, y_stride);
  }
  std::vector<float> one_by_one(const KernelTable& table) const {
    std::vector<float> y = output();
    for (int64_t t = 0; t < n_tokens; ++t) run(table, 0, w.matrix.rows, t, 1, y);
    return y;
  }
};

/// Plain formats also where the columns are no multiple of 16.
template <class Body>
void for_each_problem(int64_t rows, int64_t tokens, Body body) {
  std::mt19937 random(11);
  for (const Storage& storage : all_storages()) {
    const bool plain = storage.format <= Format::bf16;
    for (const int64_t cols : {768, plain ? 1031 : 256, plain ? 7 : 512}) {
      body(Problem(storage, rows, cols, tokens, random));
    }
  }
}

TEST(Matmul, a_token_has_the_same_bits_alone_and_among_any_number) {
  for_each_problem(19, 103, [](const Problem& p) {
    const std::vector<float> alone = p.one_by_one(kernels());
    for (const int64_t split : {2, 3, 4, 5, 6, 7, 13, 96, 97, 103}) {
      std::vector<float> y = p.output();
      for (int64_t t = 0; t < p.n_tokens; t += split) {
        p.run(kernels(), 0, p.w.matrix.rows, t, std::min(split, p.n_tokens - t), y);
      }
      ASSERT_EQ(y, alone) << p.w.name << " in runs of " << split << " tokens, " << p.w.matrix.cols
                          << " columns";
    }
  });
}

TEST(Matmul, rows_have_the_same_bits_however_they_are_split) {
  for_each_problem(21, 9, [](const Problem& p) {
    const std::vector<float> alone = p.one_by_one(kernels());
    for (const int64_t n : {1, 3, 9}) {
      for (const int64_t split : {1, 2, 5, 16, 20}) {
        std::vector<float> y = p.output();
        for (int64_t r = 0; r < p.w.matrix.rows; r += split) {
          for (int64_t t = 0; t < p.n_tokens; t += n) {
            p.run(kernels(), r, std::min(r + split, p.w.matrix.rows), t, n, y);
          }
        }
        ASSERT_EQ(y, alone) << p.w.name << " in runs of " << split << " rows, " << n << " tokens";
      }
    }
  });
}

/// The canonical order, spelt out: 16 partial sums, then the tree.
float canonical_dot(const std::vector<float>& w, const float* x, bool fused) {
  float sums[16] = {};
  for (size_t k = 0; k < w.size(); ++k) {
    float& s = sums[k % 16];
    const float product = w[k] * x[k];
    s = fused ? std::fma(w[k], x[k], s) : product + s;
  }
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

TEST(Matmul, the_result_is_the_canonical_order_over_the_dequantized_row) {
  const bool fused = kernels().isa != "portable";
  for_each_problem(5, 6, [&](const Problem& p) {
    std::vector<float> y = p.output(), row(static_cast<size_t>(p.w.matrix.cols));
    p.run(kernels(), 0, p.w.matrix.rows, 0, p.n_tokens, y);
    for (int64_t r = 0; r < p.w.matrix.rows; ++r) {
      kernels().dequantize_row(p.w.matrix, r, row.data());
      for (int64_t t = 0; t < p.n_tokens; ++t) {
        const float wanted = canonical_dot(row, p.x.data() + t * p.x_stride, fused);
        ASSERT_EQ(y[static_cast<size_t>(t * p.y_stride + r)], wanted) << p.w.name;
      }
    }
  });
}

TEST(Matmul, the_error_is_within_the_bound_of_sixteen_partial_sums) {
  for_each_problem(5, 6, [](const Problem& p) {
    std::vector<float> y = p.output(), portable = p.output();
    std::vector<float> row(static_cast<size_t>(p.w.matrix.cols));
    p.run(kernels(), 0, p.w.matrix.rows, 0, p.n_tokens, y);
    p.run(portable_table, 0, p.w.matrix.rows, 0, p.n_tokens, portable);
    for (int64_t r = 0; r < p.w.matrix.rows; ++r) {
      kernels().dequantize_row(p.w.matrix, r, row.data());
      for (int64_t t = 0; t < p.n_tokens; ++t) {
        double exact = 0, magnitude = 0;
        for (size_t k = 0; k < row.size(); ++k) {
          const double product =
              double{row[k]} * double{p.x[static_cast<size_t>(t * p.x_stride) + k]};
          exact += product;
          magnitude += std::abs(product);
        }
        const auto i = static_cast<size_t>(t * p.y_stride + r);
        const double steps = static_cast<double>(p.w.matrix.cols) / 16 + 6;
        const double bound =
            2 * steps * 0x1p-24 * magnitude + 1e-30;  // portable rounds products too
        ASSERT_NEAR(y[i], exact, bound) << p.w.name;
        ASSERT_NEAR(y[i], portable[i], 2 * bound) << p.w.name;
      }
    }
  });
}

TEST(Matmul, only_the_asked_outputs_are_written) {
  for_each_problem(18, 7, [](const Problem& p) {
    for (const int64_t n : {1, 4, 7}) {
      std::vector<float> y = p.output();
      p.run(kernels(), 3, 14, 0, n, y);
      for (int64_t t = 0; t < p.n_tokens; ++t) {
        for (int64_t r = 0; r < p.y_stride; ++r) {
          const bool asked = t < n && r >= 3 && r < 14;
          ASSERT_EQ(y[static_cast<size_t>(t * p.y_stride + r)] != kUntouched, asked) << p.w.name;
        }
      }
    }
  });
}

}  // namespace
}  // namespace sluice::kernels
