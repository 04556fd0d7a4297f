#include "sluice/decode/runner.h"

#include <gtest/gtest.h>
#include <mlx/device.h>

#include <memory>
#include <utility>
#include <vector>

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
  constexpr int kSteps = 3;
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
    for (int step = 0; step < kSteps; ++step) {
      std::vector<int32_t> next;
      for (const auto& of : tokens) next.push_back(of[static_cast<size_t>(step)]);
      size_t calls = 0;
      runner.run_batch(pointers, next, [&](size_t i, std::span<const float> logits) {
        EXPECT_EQ(i, calls++);
        EXPECT_EQ(Logits(logits.begin(), logits.end()), expected[i][static_cast<size_t>(step)])
            << "sequence " << i << " of " << batch << ", step " << step;
      });
      EXPECT_EQ(calls, batch);
    }
    for (size_t i = 0; i < batch; ++i) EXPECT_EQ(caches[i].length(), lengths[i] + kSteps);
  }
}

}  // namespace
}  // namespace sluice::decode
