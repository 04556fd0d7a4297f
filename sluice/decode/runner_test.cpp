#include <gtest/gtest.h>
#include <mlx/device.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/decode/decoding.h"
#include "sluice/models/load.h"

namespace sluice::decode {
namespace {

using Logits = std::vector<float>;

/// The tiny trained MoE of the repository, on this test's thread, which then owns MLX's stream.
class TinyMoe : public ::testing::Test {
 protected:
  TinyMoe() : pool(2), loaded((mx::set_default_device(mx::Device::cpu), load())) {}

  static models::LoadedModel load() { return models::load_model(SLUICE_TINY_MOE, {}); }

  /// A sequence of n tokens, different for every seed.
  nn::KvCache sequence(int64_t n, int32_t seed) {
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < n; ++i)
      tokens.push_back(static_cast<int32_t>((i * 37 + seed * 211) % 8000));
    nn::KvCache cache(layout, kv_pool);
    runner.run(cache, tokens, {.first_wanted = n, .cancel = nullptr}, {});
    return cache;
  }

  /// The logits after each of `tokens`, one step each.
  std::vector<Logits> alone(nn::KvCache cache, const std::vector<int32_t>& tokens) {
    std::vector<Logits> all;
    for (const int32_t token : tokens) {
      runner.run(cache, {&token, 1}, {.cancel = nullptr},
                 [&](int64_t, auto logits) { all.emplace_back(logits.begin(), logits.end()); });
    }
    return all;
  }

  ThreadPool pool;
  models::LoadedModel loaded;
  ops::ErrorSlot errors;
  ops::Scratch scratch;
  residency::KvPool kv_pool;
  std::shared_ptr<const nn::KvLayout> layout =
      std::make_shared<const nn::KvLayout>(loaded.model->kv_layout());
  ops::Context context{
      mx::new_stream(mx::Device::cpu), pool, kernels::kernels(), *loaded.store, errors, scratch};
  Runner runner{*loaded.model, context};
};

TEST_F(TinyMoe, a_batch_gives_each_sequence_the_bits_it_has_alone) {
  constexpr size_t kSteps = 3;
  // Before, at and across the border between two KV blocks; twenty of them, so that layers are evaluated one by one.
  std::vector<int64_t> lengths{0, 1, 254, 255, 256, 300};
  while (lengths.size() < 20) lengths.push_back(static_cast<int64_t>(lengths.size()));
  for (const size_t batch : {size_t{1}, size_t{6}, lengths.size()}) {
    std::vector<nn::KvCache> caches;
    std::vector<std::vector<int32_t>> tokens;
    std::vector<std::vector<Logits>> expected;
    for (size_t i = 0; i < batch; ++i) {
      const auto seed = static_cast<int32_t>(i);
      caches.push_back(sequence(lengths[i], seed));
      tokens.push_back({seed * 5 + 1, seed * 7 + 2, seed * 11 + 3});
      expected.push_back(alone(caches.back().snapshot(), tokens.back()));
    }
    std::vector<nn::KvCache*> pointers;
    for (nn::KvCache& cache : caches) pointers.push_back(&cache);
    std::vector<int32_t> first;
    for (const auto& of : tokens) first.push_back(of[0]);
    size_t calls = 0;
    Decoding decoding(
        runner, pointers, first,
        [&](size_t i, std::span<const float> logits) {
          EXPECT_EQ(i, calls % batch);
          const size_t step = calls++ / batch;
          EXPECT_EQ(Logits(logits.begin(), logits.end()), expected[i][step])
              << "sequence " << i << " of " << batch << ", step " << step;
          return step + 1 < kSteps ? tokens[i][step + 1] : -1;
        },
        true);
    for (size_t step = 0; step < kSteps; ++step) decoding.next(step + 1 < kSteps);
    EXPECT_EQ(calls, kSteps * batch);
    for (size_t i = 0; i < batch; ++i) EXPECT_EQ(caches[i].length(), lengths[i] + int64_t{kSteps});
  }
}

TEST_F(TinyMoe, a_step_that_was_begun_and_not_wanted_leaves_no_trace) {
  // Around the border between two KV blocks, and with a block that a snapshot shares.
  for (const int64_t length : {1, 254, 255, 256, 511}) {
    nn::KvCache cache = sequence(length, 1);
    const nn::KvCache before = cache.snapshot();
    const std::vector<Logits> expected = alone(cache.snapshot(), {7, 8, 9, 10});
    for (const bool ahead : {false, true}) {
      nn::KvCache used = cache.snapshot();
      std::vector<Logits> got;
      const auto choose = [&](size_t, std::span<const float> logits) {
        got.emplace_back(logits.begin(), logits.end());
        return static_cast<int32_t>(7 + got.size());
      };
      const int32_t first = 7;
      {
        Decoding decoding(runner, {&used}, {first}, choose, ahead);
        EXPECT_EQ(decoding.next(true), std::vector<int32_t>{8});
        EXPECT_EQ(decoding.next(true), std::vector<int32_t>{9});
      }
      EXPECT_EQ(used.length(), length + 2);
      got.resize(2);  // a third may have been computed
      const int32_t third = 9;
      {
        Decoding decoding(runner, {&used}, {third}, choose, ahead);
        decoding.next(true);
        decoding.next(false);
      }
      EXPECT_EQ(got, expected) << length << (ahead ? ", ahead" : "");
    }
    EXPECT_EQ(alone(before, {7, 8, 9, 10}), expected);
  }
}

TEST_F(TinyMoe, a_failure_ends_the_step_and_the_one_that_was_begun_after_it) {
  nn::KvCache cache = sequence(3, 1);
  const nn::KvCache before = cache.snapshot();
  const int32_t first = 7;
  int calls = 0;
  {
    Decoding decoding(
        runner, {&cache}, {first},
        [&](size_t, auto) -> int32_t {
          if (++calls == 2) fail(ErrorKind::internal, "no logit is a number");
          return 8;
        },
        true);
    decoding.next(true);
    EXPECT_THROW(decoding.next(true), Error);
  }
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(alone(before, {7}).size(), 1u);  // and the next one runs
}

/// Cancels at the n-th time that a layer asks for its experts, n from 1 on, and counts them.
struct CancelAt {
  CancelAt(residency::WeightStore& store, int n) : store_(store) {
    store.set_demand_sink([this, n](int, std::span<const int>, residency::Use) {
      if (++demands == n) cancel = true;
    });
  }
  ~CancelAt() { store_.set_demand_sink({}); }

  residency::WeightStore& store_;
  int demands = 0;
  std::atomic<bool> cancel{false};
};

std::vector<int32_t> some_tokens(int32_t n) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < n; ++i) tokens.push_back((i * 29 + 5) % 8000);
  return tokens;
}

TEST_F(TinyMoe, a_cancelled_prefill_ends_within_a_layer_and_leaves_no_trace) {
  const std::vector<int32_t> tokens = some_tokens(200);
  // 250 tokens are there, so that what is given back crosses the border between two KV blocks.
  nn::KvCache cache = sequence(250, 1);
  const auto last_logits = [&](const Runner& by, nn::KvCache& of) {
    Logits last;
    const auto rest =
        std::span<const int32_t>(tokens).subspan(static_cast<size_t>(of.length() - 250));
    EXPECT_TRUE(by.run(of, rest,
                       {.chunk = 64, .first_wanted = std::ssize(rest) - 1, .cancel = nullptr},
                       [&](int64_t, auto logits) { last.assign(logits.begin(), logits.end()); }));
    return last;
  };
  nn::KvCache whole = cache.snapshot();
  const Logits expected = last_logits(runner, whole);
  // One chunk passes all layers, or all chunks pass a layer, before what comes next.
  for (const int64_t layer_tokens : {0, 4096}) {
    const Runner by(*loaded.model, context, {.layer_tokens = layer_tokens});
    for (const int at : {1, 2, 3, 5, 8, 11}) {
      nn::KvCache used = cache.snapshot();
      CancelAt canceller(*loaded.store, at);
      EXPECT_FALSE(by.run(used, tokens,
                          {.chunk = 64, .first_wanted = 199, .cancel = &canceller.cancel},
                          [](int64_t, auto) {}));
      EXPECT_EQ(canceller.demands, at) << "no layer ran after that";
      EXPECT_EQ((used.length() - 250) % 64, 0);
      EXPECT_LT(used.length(), 450);
      EXPECT_FALSE(errors.is_set());
      EXPECT_EQ(last_logits(by, used), expected) << at;
    }
  }
}

TEST_F(TinyMoe, a_cancelled_step_of_decoding_leaves_no_trace) {
  nn::KvCache cache = sequence(255, 1);
  const std::vector<Logits> expected = alone(cache.snapshot(), {7, 8, 9});
  for (const bool ahead : {false, true}) {
    for (int at = 1; at <= 12; ++at) {
      nn::KvCache used = cache.snapshot();
      {
        CancelAt canceller(*loaded.store, at);
        Decoding decoding(
            runner, {&used}, {7}, [n = 7](size_t, auto) mutable { return ++n; }, ahead,
            &canceller.cancel);
        while (!decoding.next(true).empty()) {
        }
        EXPECT_LE(canceller.demands, at + 1);  // one may have been under way
      }
      EXPECT_LT(used.length(), 255 + at);
      // What was appended before is kept, and the next request goes on from there.
      std::vector<int32_t> rest{7, 8, 9};
      const auto done = std::min<int64_t>(used.length() - 255, 3);
      rest.erase(rest.begin(), rest.begin() + done);
      const std::vector<Logits> wanted(expected.begin() + done, expected.end());
      EXPECT_EQ(alone(std::move(used), rest), wanted) << at << (ahead ? ", ahead" : "");
    }
  }
}

}  // namespace
}  // namespace sluice::decode
