// Keys and values in few bits: what is kept of them, and attention over it.
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

constexpr KvCode kCodes[] = {{8, 8}, {8, 4}, {4, 4}};
constexpr int64_t kTokens = KvCode::kTokens;

float half_at(const std::byte* p) {
  Matrix m{.format = Format::f16, .rows = 1, .cols = 1, .data = p};
  float value = 0;
  portable_table.dequantize_row(m, 0, &value);
  return value;
}

/// What a code of 4 bits, one of eight that share four bytes, stands for in its scale.
double nibble_level(const std::byte* four, int64_t i) {
  const auto byte = std::to_integer<int>(four[i % 4]);
  return (i < 4 ? byte & 15 : byte >> 4) - 7.5;
}

/// A block's keys and values as floats, as code_kv() keeps them, and read back by kv_code.h's words.
struct Block {
  int64_t head_dim;
  KvCode code;
  std::vector<float> keys, values;
  std::vector<std::byte> kept;

  Block(int64_t dim, KvCode how, std::vector<float> k, std::vector<float> v,
        const KernelTable& table = kernels())
      : head_dim(dim), code(how), keys(std::move(k)), values(std::move(v)) {
    kept.assign(static_cast<size_t>(code.bytes(dim)), std::byte{0xee});
    table.code_kv({.k = keys.data(),
                   .v = values.data(),
                   .type = KvType::f32,
                   .head_dim = static_cast<int32_t>(dim),
                   .code = code,
                   .out = kept.data()});
  }
  Block(int64_t dim, KvCode how, std::mt19937& random)
      : Block(dim, how, random_floats(kTokens * dim, random),
              random_floats(kTokens * dim, random)) {}

  double key(int64_t t, int64_t c) const {
    const int64_t lanes = KvCode::lanes(head_dim);
    const int64_t at = 2 * (t / code.key_group() * lanes + c);
    const double level =
        code.key_bits == 8
            ? static_cast<int8_t>(kept[static_cast<size_t>(t * lanes + c)])
            : nibble_level(kept.data() + t / 16 * 8 * lanes + c / 8 * 64 + t % 16 * 4, c % 8);
    return double{half_at(kept.data() + code.key_mids(head_dim) + at)} +
           double{half_at(kept.data() + code.key_scales(head_dim) + at)} * level;
  }
  double value(int64_t t, int64_t c) const {
    const std::byte* codes = kept.data() + code.values(head_dim);
    const int64_t group = c / 32 * kTokens + t;
    const double scale = double{half_at(kept.data() + code.value_scales(head_dim) + 2 * group)};
    if (code.value_bits == 8) return scale * static_cast<int8_t>(codes[group * 32 + c % 32]);
    double sum =
        0;  // the Hadamard matrix has -1 where an odd number of bits is set in both indices
    for (int64_t i = 0; i < 32; ++i) {
      const bool odd = (__builtin_popcountll(static_cast<uint64_t>(i & (c % 32))) & 1) != 0;
      const int64_t sixteen = c / 32 * 2 + i / 16;
      const double level =
          nibble_level(codes + sixteen * kTokens * 8 + t / 8 * 64 + i % 16 * 4, t % 8);
      sum += odd ? -level : level;
    }
    return scale * sum / std::sqrt(32.0);
  }
};

/// Sum and values of each query's part, after it was joined to nothing.
std::vector<std::vector<float>> attend(const Block& block, const std::vector<std::vector<float>>& q,
                                       const KernelTable& table = kernels()) {
  const int64_t lanes = (block.head_dim + 15) / 16 * 16, stride = kPartHeader + lanes;
  const auto n = std::ssize(q);
  std::vector<float> queries(static_cast<size_t>(n * lanes)),
      parts(static_cast<size_t>(n * stride), 3.0F);
  for (int64_t i = 0; i < n; ++i)
    std::ranges::copy(q[static_cast<size_t>(i)], queries.begin() + i * lanes);
  table.attend_coded({.n_queries = n,
                      .q = queries.data(),
                      .k = block.kept.data(),
                      .head_dim = static_cast<int32_t>(block.head_dim),
                      .scale = 1.0F / std::sqrt(static_cast<float>(block.head_dim)),
                      .parts = parts.data(),
                      .code = block.code});
  std::vector<std::vector<float>> out;
  for (int64_t i = 0; i < n; ++i) {
    std::vector<float> state(static_cast<size_t>(stride)), of(static_cast<size_t>(block.head_dim));
    state[0] = -std::numeric_limits<float>::infinity();
    table.join_part(parts.data() + i * stride, static_cast<int32_t>(block.head_dim), state.data());
    table.finish_part(state.data(), nullptr, static_cast<int32_t>(block.head_dim), of.data());
    out.push_back(std::move(of));
  }
  return out;
}

std::vector<double> reference(const Block& block, const std::vector<float>& q) {
  std::vector<double> scores;
  for (int64_t t = 0; t < kTokens; ++t) {
    double dot = 0;
    for (int64_t c = 0; c < block.head_dim; ++c)
      dot += double{q[static_cast<size_t>(c)]} * block.key(t, c);
    scores.push_back(dot / std::sqrt(static_cast<double>(block.head_dim)));
  }
  const double most = *std::ranges::max_element(scores);
  std::vector<double> out(static_cast<size_t>(block.head_dim));
  double sum = 0;
  for (int64_t t = 0; t < kTokens; ++t) {
    const double p = std::exp(scores[static_cast<size_t>(t)] - most);
    sum += p;
    for (int64_t c = 0; c < block.head_dim; ++c)
      out[static_cast<size_t>(c)] += p * block.value(t, c);
  }
  for (double& o : out) o /= sum;
  return out;
}

TEST(Coded, keeps_each_element_within_half_a_step_of_its_group) {
  std::mt19937 random(1);
  for (const KvCode code : kCodes) {
    std::vector<float> keys = random_floats(kTokens * 48, random);
    for (int64_t t = 0; t < kTokens; ++t)
      keys[static_cast<size_t>(t * 48 + 5)] += 300;  // Qwen2.5's
    const Block block(48, code, keys, random_floats(kTokens * 48, random));
    const double steps = code.key_bits == 8 ? 254 : 15;
    const auto key = [&](int64_t t, int64_t c) {
      return double{keys[static_cast<size_t>(t * 48 + c)]};
    };
    for (int64_t c = 0; c < 48; ++c) {
      for (int64_t first = 0; first < kTokens; first += code.key_group()) {
        double least = key(first, c), most = least;
        for (int64_t t = first; t < first + code.key_group(); ++t) {
          least = std::min(least, key(t, c));
          most = std::max(most, key(t, c));
        }
        const double range = (most - least) * 1.002 + (c == 5 ? 0.26 : 0.01);  // a mid is a float16
        for (int64_t t = first; t < first + code.key_group(); ++t)
          EXPECT_NEAR(block.key(t, c), key(t, c), range / steps / 2) << c << " " << t;
      }
    }
    double error = 0, size = 0;
    for (int64_t t = 0; t < kTokens; ++t) {
      for (int64_t c = 0; c < 48; ++c) {
        const double wanted = double{block.values[static_cast<size_t>(t * 48 + c)]};
        error += std::pow(block.value(t, c) - wanted, 2);
        size += wanted * wanted;
      }
    }
    EXPECT_LT(std::sqrt(error / size), code.value_bits == 8 ? 0.006 : 0.1);
  }
}

TEST(Coded, attention_agrees_with_double_precision_for_any_head_dim) {
  std::mt19937 random(2);
  for (const KvCode code : kCodes) {
    for (const int64_t dim : {1, 16, 31, 32, 48, 64, 80, 128, 256, 576}) {
      const Block block(dim, code, random);
      std::vector<float> q = random_floats(dim, random);
      for (float& x : q) x *= 3;
      const auto out = attend(block, {q})[0];
      const auto wanted = reference(block, q);
      for (size_t c = 0; c < out.size(); ++c)
        ASSERT_NEAR(out[c], wanted[c], code.value_bits == 8 ? 5e-6 : 0.04)  // q and p in 8 bits
            << "head_dim " << dim << ", channel " << c;
    }
  }
}

TEST(Coded, a_query_gives_the_same_bits_in_every_tile) {
  std::mt19937 random(3);
  for (const KvCode code : kCodes) {
    for (const int64_t dim : {24, 64, 128}) {
      const Block block(dim, code, random);
      std::vector<std::vector<float>> queries, alone;
      for (int i = 0; i < 70; ++i) {
        queries.push_back(random_floats(dim, random));
        alone.push_back(attend(block, {queries.back()})[0]);
      }
      for (const size_t n : {2, 3, 4, 7, 8, 9, 33, 70}) {
        const std::vector some(queries.begin(), queries.begin() + static_cast<int64_t>(n));
        const auto out = attend(block, some);
        for (size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], alone[i]) << n << " queries, " << i;
      }
    }
  }
}

TEST(Coded, every_set_keeps_the_same_bytes) {
  std::mt19937 random(4);
  for (const KvCode code : kCodes) {
    for (const int64_t dim : {20, 64, 128}) {
      const Block mine(dim, code, random);
      EXPECT_EQ(mine.kept, Block(dim, code, mine.keys, mine.values, portable_table).kept);
    }
  }
}

TEST(Coded, zeros_stay_zeros_and_huge_ones_finite) {
  std::mt19937 random(5);
  for (const KvCode code : kCodes) {
    const std::vector<float> zeros(kTokens * 64), q = random_floats(64, random);
    EXPECT_EQ(attend(Block(64, code, zeros, zeros), {q})[0], std::vector<float>(64, 0.0F));
    for (const float huge : {65504.0F, 1e-7F, 1e-40F, 1e30F}) {
      std::vector<float> of = random_floats(kTokens * 64, random);
      for (float& x : of) x *= huge;
      const std::vector<float> out = attend(Block(64, code, of, of), {q})[0];
      for (const float x : out) EXPECT_TRUE(std::isfinite(x));
    }
  }
}

TEST(Coded, what_is_not_finite_is_not_hidden) {
  std::mt19937 random(6);
  for (const KvCode code : kCodes) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      const std::vector<float> fine = random_floats(kTokens * 64, random),
                               q = random_floats(64, random);
      std::vector<float> damaged = fine;
      damaged[100 * 64 + 40] = bad;
      EXPECT_TRUE(std::isnan(attend(Block(64, code, damaged, fine), {q})[0][0]));
      EXPECT_TRUE(std::isnan(attend(Block(64, code, fine, damaged), {q})[0][40]));
    }
  }
}

}  // namespace
}  // namespace sluice::kernels
