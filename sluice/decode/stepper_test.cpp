#include <gtest/gtest.h>
#include <mlx/device.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/decode/append.h"
#include "sluice/decode/greedy.h"
#include "sluice/decode/test_model.h"
#include "sluice/models/load.h"

namespace sluice::decode {
namespace {

using Logits = std::vector<float>;

/// The tiny trained MoE of the repository.
class TinyMoe : public ModelTest {
 protected:
  TinyMoe() : ModelTest(SLUICE_TINY_MOE, 2) {}

  /// A sequence of n tokens, different for every seed.
  nn::KvCache sequence(int64_t n, int32_t seed) {
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < n; ++i)
      tokens.push_back(static_cast<int32_t>((i * 37 + seed * 211) % 8000));
    nn::KvCache cache(layout, kv_pool);
    append(stepper, cache, tokens, {.first_wanted = n}, {});
    return cache;
  }

  /// The logits after each of `tokens`, one step each.
  std::vector<Logits> alone(nn::KvCache cache, const std::vector<int32_t>& tokens) {
    std::vector<Logits> all;
    for (const int32_t token : tokens) {
      append(stepper, cache, {&token, 1}, {},
             [&](int64_t, auto logits) { all.emplace_back(logits.begin(), logits.end()); });
    }
    return all;
  }
};

/// What each sequence is continued with, and the logits it gets.
struct Continued {
  nn::KvCache cache;
  std::vector<int32_t> tokens;
  std::vector<Logits> got;

  Row row(Phase phase = Phase::decode) {
    Row row{.kv = &cache, .tokens = {tokens[got.size()]}, .phase = phase};
    row.choose = [this](int64_t, std::span<const float> logits) { return take(logits); };
    return row;
  }
  Row ahead(size_t from) {
    Row row{.kv = &cache, .from = from, .phase = Phase::decode};
    row.choose = [this](int64_t, std::span<const float> logits) { return take(logits); };
    return row;
  }
  int32_t take(std::span<const float> logits) {
    got.emplace_back(logits.begin(), logits.end());
    return got.size() < tokens.size() ? tokens[got.size()] : 0;
  }
};

TEST_F(TinyMoe, a_batch_gives_each_sequence_the_bits_it_has_alone) {
  constexpr size_t kSteps = 3;
  // Before, at and across the border between two KV blocks; twenty of them, so that layers are evaluated one by one.
  std::vector<int64_t> lengths{0, 1, 254, 255, 256, 300};
  while (lengths.size() < 20) lengths.push_back(static_cast<int64_t>(lengths.size()));
  for (const size_t batch : {size_t{1}, size_t{6}, lengths.size()}) {
    std::deque<Continued> all;
    std::vector<std::vector<Logits>> expected;
    for (size_t i = 0; i < batch; ++i) {
      const auto seed = static_cast<int32_t>(i);
      all.push_back({sequence(lengths[i], seed), {seed * 5 + 1, seed * 7 + 2, seed * 11 + 3}, {}});
      expected.push_back(alone(all.back().cache.snapshot(), all.back().tokens));
    }
    const bool ahead = std::ssize(all) <= stepper.max_ahead();
    for (size_t step = 0; step < kSteps; ++step) {
      std::vector<Row> rows, next;
      for (size_t i = 0; i < batch; ++i) {
        if (stepper.in_flight() == 0) rows.push_back(all[i].row());
        next.push_back(all[i].ahead(i));
      }
      if (!rows.empty()) stepper.begin({rows});
      if (ahead && step + 1 < kSteps) stepper.begin({next});
      for (const Outcome& outcome : stepper.finish()) EXPECT_FALSE(outcome.error);
    }
    for (size_t i = 0; i < batch; ++i) {
      EXPECT_TRUE(all[i].got == expected[i]) << i << " of " << batch;
      EXPECT_EQ(all[i].cache.length(), lengths[i] + int64_t{kSteps});
    }
  }
}

TEST_F(TinyMoe, prompts_and_decoding_share_steps_in_any_mixture) {
  // Three prompts in pieces, in one pass with decoding or in several, while two others decode.
  std::vector<std::vector<int32_t>> prompts;
  std::vector<Logits> expected;
  for (const int32_t n : {5, 300, 41}) {
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < n; ++i) tokens.push_back((i * 29 + n) % 8000);
    nn::KvCache cache(layout, kv_pool);
    append(stepper, cache, tokens, {.first_wanted = n - 1},
           [&](int64_t, auto logits) { expected.emplace_back(logits.begin(), logits.end()); });
    prompts.push_back(std::move(tokens));
  }
  for (const bool one_pass : {true, false}) {
    for (const size_t piece : {size_t{3}, size_t{64}, size_t{1000}}) {
      std::deque<Continued> decoding;
      std::vector<std::vector<Logits>> wanted;
      for (const int32_t seed : {1, 2}) {
        decoding.push_back({sequence(250 + seed, seed), {}, {}});
        for (int32_t i = 0; i < 12; ++i) decoding.back().tokens.push_back(seed * 100 + i * 7);
        wanted.push_back(alone(decoding.back().cache.snapshot(), decoding.back().tokens));
      }
      std::deque<nn::KvCache> caches;
      std::vector<Logits> got(prompts.size());
      for (size_t i = 0; i < prompts.size(); ++i) caches.emplace_back(layout, kv_pool);
      for (int step = 0; step < 12; ++step) {
        std::vector<std::vector<Row>> passes(1);
        for (Continued& of : decoding) passes[0].push_back(of.row());
        for (size_t i = 0; i < prompts.size(); ++i) {
          const auto begin = static_cast<size_t>(caches[i].length());
          const size_t n = std::min(piece, prompts[i].size() - begin);
          if (n == 0) continue;
          if (!one_pass) passes.emplace_back();
          const auto from = prompts[i].begin() + static_cast<ptrdiff_t>(begin);
          const bool whole = begin + n == prompts[i].size();
          passes.back().push_back({.kv = &caches[i],
                                   .tokens = {from, from + static_cast<ptrdiff_t>(n)},
                                   .logits_from = static_cast<int64_t>(whole ? n - 1 : n),
                                   .choose = [&got, i](int64_t, auto logits) {
                                     got[i].assign(logits.begin(), logits.end());
                                     return static_cast<int32_t>(i);
                                   }});
        }
        const size_t n_rows = std::accumulate(passes.begin(), passes.end(), size_t{0},
                                              [](size_t n, const auto& p) { return n + p.size(); });
        stepper.begin(passes);
        EXPECT_EQ(stepper.finish().size(), n_rows);
      }
      for (size_t i = 0; i < decoding.size(); ++i) EXPECT_TRUE(decoding[i].got == wanted[i]);
      for (size_t i = 0; i < prompts.size(); ++i) {
        if (caches[i].length() == std::ssize(prompts[i])) {
          EXPECT_TRUE(got[i] == expected[i]);
        }
      }
    }
  }
}

TEST_F(TinyMoe, a_step_that_was_begun_and_not_wanted_leaves_no_trace) {
  // Around the border between two KV blocks, and with a block that a snapshot shares.
  for (const int64_t length : {1, 254, 255, 256, 511}) {
    nn::KvCache cache = sequence(length, 1);
    const nn::KvCache before = cache.snapshot();
    const std::vector<Logits> expected = alone(cache.snapshot(), {7, 8, 9, 10});
    Continued used{cache.snapshot(), {7, 8, 9, 10}, {}};
    stepper.begin({{used.row()}});
    stepper.begin({{used.ahead(0)}});
    stepper.finish();
    stepper.give_up();
    EXPECT_EQ(used.cache.length(), length + 1);
    for (int i = 0; i < 3; ++i) {
      stepper.begin({{used.row()}});
      stepper.finish();
    }
    EXPECT_TRUE(used.got == expected) << length;
    EXPECT_TRUE(alone(before, {7, 8, 9, 10}) == expected);
  }
}

TEST_F(TinyMoe, a_choice_that_fails_is_its_own_rows_error) {
  Continued good{sequence(3, 1), {7, 8}, {}}, bad{sequence(4, 2), {7}, {}};
  const std::vector<Logits> expected = alone(good.cache.snapshot(), {7, 8});
  Row failing = bad.row();
  failing.choose = [](int64_t, auto) -> int32_t { fail(ErrorKind::internal, "not a number"); };
  stepper.begin({{failing, good.row()}});
  stepper.begin({{bad.ahead(0), good.ahead(1)}});
  const std::vector<Outcome> outcomes = stepper.finish();
  EXPECT_THROW(std::rethrow_exception(outcomes[0].error), Error);
  EXPECT_FALSE(outcomes[1].error);
  EXPECT_EQ(outcomes[1].tokens, Tokens{8});
  EXPECT_EQ(stepper.in_flight(), 1U) << "nobody else is disturbed";
  EXPECT_FALSE(stepper.finish()[1].error);
  EXPECT_TRUE(good.got == expected);
}

/// Does something at the n-th time that a layer asks for its experts, n from 1 on, and counts them.
struct AtDemand {
  AtDemand(residency::WeightStore& store, int n, std::function<void()> what) : store_(store) {
    store.set_demand_sink([this, n, what](int, std::span<const int>, residency::Use) {
      if (++demands == n) what();
    });
  }
  ~AtDemand() { store_.set_demand_sink({}); }

  residency::WeightStore& store_;
  int demands = 0;
};

TEST_F(TinyMoe, a_failing_kernel_ends_the_step_and_the_one_begun_ahead) {
  for (const int at : {1, 3, 6, 7, 9}) {
    Continued a{sequence(255, 1), {7, 8}, {}}, b{sequence(4, 2), {9, 10}, {}};
    const auto of_a = alone(a.cache.snapshot(), {7, 8}), of_b = alone(b.cache.snapshot(), {9, 10});
    int failed = 0;
    {
      AtDemand failure(*loaded.store, at, [] { fail(ErrorKind::io, "the disk is gone"); });
      stepper.begin({{a.row(), b.row()}});
      stepper.begin({{a.ahead(0), b.ahead(1)}});
      while (stepper.in_flight() > 0) {
        for (const Outcome& outcome : stepper.finish()) failed += outcome.error ? 1 : 0;
      }
    }
    EXPECT_EQ(failed, 2) << at;
    const auto done = static_cast<size_t>(a.cache.length() - 255);
    ASSERT_EQ(a.got.size(), done);
    ASSERT_EQ(b.got.size(), done);
    while (a.got.size() < 2) {  // and the next one runs
      stepper.begin({{a.row(), b.row()}});
      stepper.finish();
    }
    EXPECT_TRUE(a.got == of_a) << at;
    EXPECT_TRUE(b.got == of_b) << at;
  }
}

std::vector<int32_t> some_tokens(int32_t n) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < n; ++i) tokens.push_back((i * 29 + 5) % 8000);
  return tokens;
}

TEST_F(TinyMoe, a_cancelled_prefill_ends_within_a_layer_and_leaves_no_trace) {
  const std::vector<int32_t> tokens = some_tokens(200);
  // 250 tokens are there, so that what is given back crosses the border between two KV blocks.
  nn::KvCache cache = sequence(250, 1);
  const auto last_logits = [&](nn::KvCache& of) {
    Logits last;
    const auto rest =
        std::span<const int32_t>(tokens).subspan(static_cast<size_t>(of.length() - 250));
    EXPECT_TRUE(append(stepper, of, rest, {.chunk = 64, .first_wanted = std::ssize(rest) - 1},
                       [&](int64_t, auto logits) { last.assign(logits.begin(), logits.end()); }));
    return last;
  };
  nn::KvCache whole = cache.snapshot();
  const Logits expected = last_logits(whole);
  // One chunk passes all layers, or all chunks pass a layer, before what comes next.
  for (const int64_t layer_tokens : {0, 4096}) {
    for (const int at : {1, 2, 3, 5, 8, 11}) {
      nn::KvCache used = cache.snapshot();
      std::atomic<bool> cancel{false};
      {
        AtDemand canceller(*loaded.store, at, [&] { cancel = true; });
        EXPECT_FALSE(append(
            stepper, used, tokens,
            {.chunk = 64, .layer_tokens = layer_tokens, .first_wanted = 199, .cancel = &cancel},
            [](int64_t, auto) {}));
        EXPECT_EQ(canceller.demands, at) << "no layer ran after that";
      }
      EXPECT_EQ((used.length() - 250) % 64, 0);
      EXPECT_LT(used.length(), 450);
      EXPECT_EQ(last_logits(used), expected) << at;
    }
  }
}

TEST_F(TinyMoe, a_step_ends_within_a_layer_when_all_of_its_rows_are_cancelled_and_not_before) {
  for (const bool both : {false, true}) {
    for (int at = 1; at <= 12; ++at) {
      Continued a{sequence(255, 1), {7, 8, 9}, {}}, b{sequence(3, 2), {1, 2, 3}, {}};
      const auto expected = alone(a.cache.snapshot(), a.tokens);
      std::atomic<bool> cancel{false}, never{false};
      {
        AtDemand canceller(*loaded.store, at, [&] { cancel = true; });
        for (bool going = true; going && a.got.size() < 3;) {
          if (stepper.in_flight() == 0) {
            std::vector<Row> rows{a.row(), b.row()};
            rows[0].cancel = &cancel;
            rows[1].cancel = both ? &cancel : &never;
            stepper.begin({rows});
          }
          if (a.got.size() < 2) {
            std::vector<Row> rows{a.ahead(0), b.ahead(1)};
            rows[0].cancel = &cancel;
            rows[1].cancel = both ? &cancel : &never;
            stepper.begin({rows});
          }
          for (const Outcome& outcome : stepper.finish()) going = going && !outcome.cancelled;
        }
        if (both) {
          EXPECT_LE(canceller.demands, at + 1);  // one may have been under way
        } else {
          EXPECT_EQ(a.got.size(), 3U);
        }
      }
      const auto done = static_cast<size_t>(a.cache.length() - 255);
      ASSERT_LE(done, a.got.size());
      a.got.resize(done);  // what was chosen in a step that was cancelled after it
      while (a.got.size() < 3) {
        stepper.begin({{a.row()}});
        stepper.finish();
      }
      EXPECT_TRUE(a.got == expected) << at;
    }
  }
}

TEST_F(TinyMoe, a_step_for_which_there_are_no_blocks_changes_nothing) {
  nn::KvCache a = sequence(256, 1), b = sequence(100, 2);
  const std::vector<Logits> expected = alone(a.snapshot(), {7});
  kv_pool.set_cap(kv_pool.allocated());
  const residency::KvNeed one{{layout->groups[0].block_bytes}, 1};
  std::vector<residency::KvReservation> others;
  while (auto block = kv_pool.reserve({&one, 1})) others.push_back(std::move(*block));
  Continued of_a{a, {7}, {}}, of_b{b, {8}, {}};
  EXPECT_THROW(stepper.begin({{of_b.row()}, {of_a.row()}}), Error);
  EXPECT_EQ(stepper.in_flight(), 0U);
  EXPECT_EQ(of_a.cache.length(), 256);
  EXPECT_EQ(of_b.cache.length(), 100);
  kv_pool.set_cap(residency::KvPool::kNoCap);
  stepper.begin({{of_a.row()}});
  EXPECT_FALSE(stepper.finish()[0].error);
  EXPECT_TRUE(of_a.got == expected);
}

TEST_F(TinyMoe, what_a_step_seals_is_told_stretch_by_stretch) {
  nn::KvCache cache(layout, kv_pool);
  std::vector<int64_t> sealed;
  for (const int32_t n : {200, 56, 1, 255 + 256, 3}) {
    stepper.begin({{{.kv = &cache, .tokens = some_tokens(n), .logits_from = n}}});
    const std::vector<Outcome> outcomes = stepper.finish();
    for (const Sealed& of : outcomes[0].sealed) {
      sealed.push_back(of.stretch);
      EXPECT_EQ(of.blocks, cache.stretch(of.stretch));
      for (const auto& block : of.blocks) EXPECT_EQ(block->writer(), residency::KvBlock::kSealed);
    }
  }
  EXPECT_EQ(sealed, (std::vector<int64_t>{0, 1, 2}));
}

}  // namespace
}  // namespace sluice::decode
