#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "sluice/kernels/kernels.h"

namespace sluice::kernels {
namespace {

std::vector<float> random_values(int64_t n, std::mt19937& random, float from, float to) {
  std::uniform_real_distribution<float> value(from, to);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = value(random);
  return values;
}

enum class Rule { add, delta, erase };

/// One head's inputs, and the step's result.
struct Head {
  int64_t n_rows, n_cols;
  std::vector<float> state, decays, key, query, look, erase, value, out;

  Head(int64_t rows, int64_t cols, std::mt19937& random)
      : n_rows(rows),
        n_cols(cols),
        state(random_values(rows * cols, random, -1, 1)),
        decays(random_values(cols, random, 0.1F, 1)),
        key(random_values(cols, random, -1, 1)),
        query(random_values(cols, random, -1, 1)),
        look(random_values(cols, random, -1, 1)),
        erase(random_values(cols, random, -1, 1)),
        value(random_values(rows, random, -1, 1)),
        out(static_cast<size_t>(rows)) {}

  StateStep step(bool by_column, Rule rule) {
    return {.state = state.data(),
            .n_rows = n_rows,
            .n_cols = n_cols,
            .decay = 0.75F,
            .decays = by_column ? decays.data() : nullptr,
            .key = key.data(),
            .query = query.data(),
            .value = value.data(),
            .beta = 0.5F,
            .delta = rule == Rule::delta,
            .look = rule == Rule::erase ? look.data() : nullptr,
            .erase = rule == Rule::erase ? erase.data() : nullptr,
            .out = out.data()};
  }
};

/// The definition, in double precision: expects state and out near it.
void expect_right(const Head& before, const Head& after, bool by_column, Rule rule) {
  for (int64_t r = 0; r < before.n_rows; ++r) {
    std::vector<double> row;
    double seen = 0, out = 0;
    for (int64_t c = 0; c < before.n_cols; ++c) {
      const auto at = static_cast<size_t>(c);
      row.push_back(double{before.state[static_cast<size_t>(r * before.n_cols + c)]} *
                    (by_column ? double{before.decays[at]} : 0.75));
      seen += row.back() * double{rule == Rule::erase ? before.look[at] : before.key[at]};
    }
    const double u =
        0.5 * (double{before.value[static_cast<size_t>(r)]} - (rule == Rule::delta ? seen : 0));
    for (int64_t c = 0; c < before.n_cols; ++c) {
      const auto at = static_cast<size_t>(c);
      row[at] += u * double{before.key[at]};
      if (rule == Rule::erase) row[at] -= seen * double{before.erase[at]};
      out += row[at] * double{before.query[at]};
      ASSERT_NEAR(after.state[static_cast<size_t>(r * before.n_cols + c)], row[at], 1e-5);
    }
    ASSERT_NEAR(after.out[static_cast<size_t>(r)], out, 2e-5);
  }
}

TEST(StateStep, is_its_definition_for_every_shape) {
  std::mt19937 random(1);
  for (const int64_t n_rows : {1, 3, 4, 7, 64}) {
    for (const int64_t n_cols : {1, 15, 16, 40, 128}) {
      for (const bool by_column : {false, true}) {
        for (const Rule rule : {Rule::add, Rule::delta, Rule::erase}) {
          const Head before(n_rows, n_cols, random);
          Head after = before;
          kernels().state_step(after.step(by_column, rule));
          expect_right(before, after, by_column, rule);
        }
      }
    }
  }
}

TEST(StateStep, a_row_does_not_depend_on_the_others) {
  std::mt19937 random(2);
  const Head all(11, 40, random);
  Head together = all;
  kernels().state_step(together.step(true, Rule::delta));
  for (int64_t r = 0; r < all.n_rows; ++r) {
    Head alone = all;
    StateStep step = alone.step(true, Rule::delta);
    step.state += r * all.n_cols;
    step.value += r;
    step.out += r;
    step.n_rows = 1;
    kernels().state_step(step);
    const auto at = static_cast<size_t>(r);
    ASSERT_EQ(alone.out[at], together.out[at]);
    for (int64_t c = 0; c < all.n_cols; ++c) {
      const auto i = static_cast<size_t>(r * all.n_cols + c);
      ASSERT_EQ(alone.state[i], together.state[i]);
    }
  }
}

TEST(AddProduct, adds_and_activate_is_the_gate_of_one) {
  std::mt19937 random(3);
  for (const int64_t n : {1, 16, 37}) {
    const std::vector<float> a = random_values(n, random, -3, 3),
                             b = random_values(n, random, -3, 3);
    std::vector<float> y = random_values(n, random, -3, 3);
    const std::vector<float> before = y, ones(a.size(), 1.0F);
    kernels().add_product(a.data(), b.data(), n, y.data());
    for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], before[i] + a[i] * b[i], 2e-6);
    for (const Activation act :
         {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::relu,
          Activation::relu_squared, Activation::sigmoid, Activation::exp}) {
      std::vector<float> activated(a.size()), gated(a.size());
      kernels().activate(act, a.data(), n, activated.data());
      kernels().gated(act, 0, a.data(), ones.data(), n, gated.data());
      ASSERT_EQ(activated, gated);
    }
    std::vector<float> powers(a.size());
    kernels().activate(Activation::exp, a.data(), n, powers.data());
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_NEAR(powers[i], std::exp(a[i]), 3e-7 * std::exp(a[i]));
    std::vector<float> sigmoid(a.size());
    kernels().activate(Activation::sigmoid, a.data(), n, sigmoid.data());
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(sigmoid[i], 1 / (1 + std::exp(-a[i])), 2e-7);
  }
}

}  // namespace
}  // namespace sluice::kernels
