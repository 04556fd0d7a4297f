// Models whose layers carry states, or choose the keys that they attend: nothing of how they are computed changes a bit.
#include <gtest/gtest.h>

#include <utility>

#include "sluice/decode/append.h"
#include "sluice/decode/prefix_index.h"
#include "sluice/decode/test_hybrid.h"
#include "sluice/decode/test_model.h"

namespace sluice::decode {
namespace {

using Logits = std::vector<float>;
using Tokens = std::vector<int32_t>;

constexpr int64_t kVocab = kHybridVocab;

/// Written before it is loaded.
struct HybridFiles : testing::WithParamInterface<HybridModel> {
  HybridFiles() { write_hybrid(directory, GetParam()); }
  io::TestDirectory directory;
};

class Hybrid : public HybridFiles, public ModelTest {
 protected:
  Hybrid() : ModelTest(directory.path(), 3, GetParam().options) {}

  static Tokens tokens(int64_t n, int32_t seed) {
    Tokens all;
    for (int64_t i = 0; i < n; ++i)
      all.push_back(static_cast<int32_t>((i * 37 + i * i * 3 + seed * 11) % kVocab));
    return all;
  }
  /// Appends them; the logits after each one from `first` on.
  std::vector<Logits> run(nn::KvCache& kv, std::span<const int32_t> of, int64_t first,
                          AppendOptions options = {}) {
    std::vector<Logits> all;
    options.first_wanted = first;
    append(stepper, kv, of, options,
           [&](int64_t, auto logits) { all.emplace_back(logits.begin(), logits.end()); });
    return all;
  }
};

TEST_P(Hybrid, chunks_and_passes_change_no_bit) {
  const Tokens all = tokens(600, 1);
  nn::KvCache whole = empty();
  const std::vector<Logits> expected = run(whole, all, 0, {.chunk = 600});
  for (const AppendOptions& options :
       {AppendOptions{.chunk = 1}, AppendOptions{.chunk = 13}, AppendOptions{.chunk = 256},
        AppendOptions{.chunk = 64, .layer_tokens = 600},
        AppendOptions{.chunk = 100, .layer_tokens = 300}}) {
    nn::KvCache kv = empty();
    EXPECT_TRUE(run(kv, all, 0, options) == expected)
        << options.chunk << " " << options.layer_tokens;
  }
}

TEST_P(Hybrid, branches_and_what_is_trimmed_do_not_touch_each_other) {
  const Tokens all = tokens(700, 2);
  const auto from = [&](size_t begin) { return std::span(all).subspan(begin); };
  nn::KvCache whole = empty();
  const std::vector<Logits> expected = run(whole, all, 0);
  nn::KvCache kv = empty();
  run(kv, std::span(all).first(300), 300);
  nn::KvCache branch = kv.snapshot();
  run(kv, tokens(50, 9), 50);
  const std::vector<Logits> rest(expected.begin() + 300, expected.end());
  EXPECT_TRUE(run(branch, from(300), 0) == rest);
  EXPECT_FALSE(branch.can_trim(600)) << "no state is kept within a stretch";
  EXPECT_TRUE(branch.can_trim(branch.length()));
}

TEST_P(Hybrid, a_step_that_is_given_up_leaves_the_state_before_it) {
  const Tokens all = tokens(40, 3);
  nn::KvCache whole = empty();
  const std::vector<Logits> expected = run(whole, all, 20);
  nn::KvCache kv = empty();
  run(kv, std::span(all).first(20), 20);
  for (size_t i = 20; i < all.size(); ++i) {
    std::vector<float> got;
    const auto take = [&](int64_t, std::span<const float> of) {
      got.assign(of.begin(), of.end());
      return int32_t{5};  // not what follows: the step that is begun with it is for nothing
    };
    stepper.begin({{{.kv = &kv, .tokens = {all[i]}, .phase = Phase::decode, .choose = take}}});
    const auto ignore = [](int64_t, std::span<const float>) { return int32_t{0}; };
    stepper.begin({{{.kv = &kv, .from = size_t{0}, .phase = Phase::decode, .choose = ignore}}});
    stepper.finish();
    if (i % 2 == 0) {
      stepper.give_up();
    } else {
      nn::KvCache before = empty();
      stepper.finish();
      run(before, std::span(all).first(i + 1), static_cast<int64_t>(i) + 1);
      kv = before;
    }
    ASSERT_TRUE(got == expected[i - 20]) << i;
  }
}

TEST_P(Hybrid, a_prefix_gives_the_bits_that_computing_it_gives) {
  PrefixIndex index(layout, kv_pool, residency::KvPool::kNoCap);
  const Tokens all = tokens(900, 4);
  nn::KvCache whole = empty();
  const std::vector<Logits> expected = run(whole, all, 0);
  {
    nn::KvCache kv = empty();
    for (int64_t begin = 0; begin < 620; begin += 150) {
      const int64_t n = std::min<int64_t>(150, 620 - begin);
      const auto part = std::span(all).subspan(static_cast<size_t>(begin), static_cast<size_t>(n));
      const auto ignore = [](int64_t, std::span<const float>) { return int32_t{0}; };
      stepper.begin({{{.kv = &kv,
                       .tokens = {part.begin(), part.end()},
                       .logits_from = n,
                       .choose = ignore}}});
      for (const Outcome& outcome : stepper.finish()) index.add("", all, outcome.sealed);
    }
    index.add_end("", std::span(all).first(620), kv);
  }
  for (const auto& [n, found] : {std::pair{900, 620},
                                 {620, 620},
                                 {619, 512},
                                 {550, 512},
                                 {512, 512},
                                 {400, 256},
                                 {100, 0}}) {
    nn::KvCache kv = index.find("", std::span(all).first(static_cast<size_t>(n)));
    ASSERT_EQ(kv.length(), found) << n;
    const auto rest = std::span(all).subspan(static_cast<size_t>(found));
    ASSERT_TRUE(run(kv, rest, 0) == std::vector<Logits>(expected.begin() + found, expected.end()));
  }
}

TEST_P(Hybrid, a_batch_gives_each_sequence_the_bits_it_has_alone) {
  std::vector<nn::KvCache> together;
  std::vector<std::vector<Logits>> got(4), expected;
  for (int32_t i = 0; i < 4; ++i) {
    together.push_back(empty());
    run(together.back(), tokens(100 + 70 * i, i), 1000);
    nn::KvCache alone = together.back().snapshot();
    expected.push_back(run(alone, tokens(12, 20 + i), 0, {.chunk = 1}));
  }
  for (size_t step = 0; step < 12; ++step) {
    std::vector<Row> rows;
    for (size_t i = 0; i < 4; ++i) {
      const Tokens of = tokens(12, 20 + static_cast<int32_t>(i));
      rows.push_back({.kv = &together[i],
                      .tokens = {of[step]},
                      .phase = Phase::decode,
                      .choose = [&got, i](int64_t, std::span<const float> logits) {
                        got[i].emplace_back(logits.begin(), logits.end());
                        return int32_t{0};
                      }});
    }
    stepper.begin({rows});
    stepper.finish();
  }
  EXPECT_TRUE(got == expected);
}

class Indexed : public Hybrid {};

TEST_P(Indexed, chunks_branches_and_what_is_trimmed_change_no_bit) {
  const Tokens all = tokens(600, 1);
  nn::KvCache whole = empty();
  const std::vector<Logits> expected = run(whole, all, 0, {.chunk = 600});
  for (const int64_t chunk : {1, 13, 256}) {
    nn::KvCache kv = empty();
    EXPECT_TRUE(run(kv, all, 0, {.chunk = chunk}) == expected) << chunk;
  }
  nn::KvCache kv = empty();
  run(kv, std::span(all).first(300), 300);
  nn::KvCache branch = kv.snapshot();
  run(kv, tokens(50, 9), 50);
  run(branch, std::span(all).subspan(300, 100), 100);
  branch.trim(350);
  const std::vector<Logits> rest(expected.begin() + 350, expected.end());
  EXPECT_TRUE(run(branch, std::span(all).subspan(350), 0) == rest);
}

INSTANTIATE_TEST_SUITE_P(Indices, Indexed,
                         testing::Values(indexed_keys_model(), indexed_blocks_model(),
                                         compressed_rows_model()),
                         [](const auto& of) { return of.param.name; });

INSTANTIATE_TEST_SUITE_P(States, Hybrid,
                         testing::Values(gated_delta_model(), mamba2_model(), mamba_model(),
                                         kimi_model(), lightning_model(), rwkv7_model(),
                                         griffin_model(), ngram_model(), convolved_keys_model(),
                                         short_conv_model(), conv_mixer_model()),
                         [](const auto& of) { return of.param.name; });

INSTANTIATE_TEST_SUITE_P(StatesOf16Bits, Hybrid,
                         testing::Values(with_states(gated_delta_model(), kernels::KvType::bf16),
                                         with_states(mamba_model(), kernels::KvType::f16),
                                         with_states(griffin_model(), kernels::KvType::bf16)),
                         [](const auto& of) { return of.param.name; });

}  // namespace
}  // namespace sluice::decode
