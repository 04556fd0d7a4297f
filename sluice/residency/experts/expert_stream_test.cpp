#include "sluice/residency/experts/expert_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/io/reads/reader_test_files.h"
#include "sluice/residency/experts/replay.h"

namespace sluice::residency {
namespace {

constexpr int kExperts = 32;
constexpr int64_t kRows = 24, kRowBytes = 512;

/// Two layers of experts, one matrix of bytes each.
struct Model {
  explicit Model(decltype(io::ReaderOptions::tamper) tamper = {})
      : reader(file.files(), {.tamper = std::move(tamper)}) {
    files.n_layers = 2;
    files.n_experts = kExperts;
    for (int i = 0; i < 2 * kExperts; ++i) {
      Weight& w = weights.emplace_back();
      w.matrix.rows = kRows;
      w.matrix.row_bytes = kRowBytes;
      w.data = {0, 99 + static_cast<uint64_t>(i * kRows * kRowBytes)};
      files.extents.push_back({{0, w.data.offset, kRows * kRowBytes}});
    }
  }

  /// Takes experts of a layer from a stream to its end; which came, sorted.
  std::vector<int> drain(ExpertStream stream, int layer) const {
    std::vector<int> all;
    for (auto some = stream.next(); !some.empty(); some = stream.next()) {
      for (const int expert : some) {
        const Weight& w = weights[static_cast<size_t>(layer * kExperts + expert)];
        EXPECT_EQ(std::memcmp(stream.acquire(expert, w).data,
                              file.contents().data() + w.data.offset, kRows * kRowBytes),
                  0)
            << expert;
        all.push_back(expert);
      }
    }
    std::ranges::sort(all);
    return all;
  }

  io::RandomFile file{1'000'000};
  io::AsyncReader reader;
  ExpertFiles files;
  std::vector<Weight> weights;
};

std::vector<int> up_to(int n) {
  std::vector<int> all(static_cast<size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

TEST(ExpertStream, gives_each_expert_once_whatever_the_pool_holds) {
  for (const int n_slots : {4, 9, 40, 64}) {
    Model mine;
    SlotPool pool(mine.reader, mine.files, n_slots, PolicyKind::lfu);
    for (int round = 0; round < 2; ++round) {
      for (const int layer : {0, 1}) {
        EXPECT_EQ(mine.drain({pool, layer, up_to(kExperts), Use::pass}, layer), up_to(kExperts));
        EXPECT_EQ(mine.drain({pool, layer, std::vector{7, 3}, Use::keep}, layer),
                  (std::vector{3, 7}));
      }
    }
  }
}

TEST(ExpertStream, a_prompt_leaves_what_decoding_had) {
  Model model;
  SlotPool pool(model.reader, model.files, 48, PolicyKind::lfu);
  const std::vector<int> hot{1, 4, 9};
  for (int token = 0; token < 5; ++token) model.drain({pool, 0, hot, Use::keep}, 0);
  for (const int layer : {0, 1}) model.drain({pool, layer, up_to(kExperts), Use::pass}, layer);
  for (const int expert : hot) EXPECT_TRUE(pool.holds(0, expert)) << expert;
}

TEST(ExpertStream, a_prompt_reads_each_expert_once) {
  Model model;
  SlotPool pool(model.reader, model.files, 40, PolicyKind::lfu);
  for (const int layer : {0, 1}) model.drain({pool, layer, up_to(kExperts), Use::pass}, layer);
  EXPECT_EQ(model.reader.statistics().requests, 2 * kExperts);
}

/// Notes what a policy is told, and obeys another one.
class Spy : public EvictionPolicy {
 public:
  struct Told {
    int layer;
    std::vector<int> experts;
    bool operator==(const Told&) const = default;
  };

  Spy(const PoolShape& shape, std::vector<Told>& told)
      : policy_(make_policy(PolicyKind::lfu, shape)),
        held_(static_cast<size_t>(shape.n_slots)),
        told_(told) {}
  void enter_layer(int layer) override {
    told_.push_back({layer, {}});
    policy_->enter_layer(layer);
  }
  void on_hit(int slot) override {
    told_.back().experts.push_back(held_[static_cast<size_t>(slot)].expert);
    policy_->on_hit(slot);
  }
  void on_insert(int slot, ExpertKey key) override {
    held_[static_cast<size_t>(slot)] = key;
    told_.back().experts.push_back(key.expert);
    policy_->on_insert(slot, key);
  }
  void on_prefetch(int slot, ExpertKey key) override {
    held_[static_cast<size_t>(slot)] = key;
    policy_->on_prefetch(slot, key);
  }
  int evict(std::span<const int> pins) override { return policy_->evict(pins); }
  void remove(int slot) override { policy_->remove(slot); }

 private:
  std::unique_ptr<EvictionPolicy> policy_;
  std::vector<ExpertKey> held_;
  std::vector<Told>& told_;
};

/// Tokens of a decoding that prefers some experts, a prompt of three chunks, and more tokens.
Trace a_chat() {
  Trace trace{.n_layers = 2, .n_experts = kExperts, .entries = {}};
  std::mt19937 random(3);
  int64_t token = 0;
  const auto decode = [&](int n) {
    for (int i = 0; i < n; ++i, ++token) {
      for (const int layer : {0, 1}) {
        const int often = static_cast<int>(random() % 6);
        const int seldom = 6 + static_cast<int>(random() % (kExperts - 6));
        trace.entries.push_back({token, layer, Phase::decode, {often, seldom}});
      }
    }
  };
  decode(40);
  for (const int layer : {0, 1}) {
    for (int chunk = 0; chunk < 3; ++chunk) {
      trace.entries.push_back({token, layer, Phase::prefill, up_to(kExperts)});
    }
  }
  ++token;
  decode(20);
  return trace;
}

/// Plays each entry through leases, as a primitive does; a prompt's chunks are told as such.
void play(Model& model, SlotPool& pool, const Trace& trace) {
  for (size_t i = 0; i < trace.entries.size(); ++i) {
    const TraceEntry& entry = trace.entries[i];
    const bool again = entry.phase == Phase::prefill && i + 1 < trace.entries.size() &&
                       trace.entries[i + 1].phase == Phase::prefill &&
                       trace.entries[i + 1].layer == entry.layer;
    const Use use = again ? Use::pass_again : entry.phase == Phase::prefill ? Use::pass : Use::keep;
    model.drain({pool, entry.layer, entry.experts, use}, entry.layer);
  }
}

TEST(ExpertStream, a_policy_is_told_each_demand_once_as_a_replay_tells_it) {
  Model model;
  std::vector<Spy::Told> told;
  SlotPool pool(model.reader, model.files, 24,
                std::make_unique<Spy>(PoolShape{2, kExperts, 24}, told));
  const Trace trace = a_chat();
  play(model, pool, trace);
  const std::vector<Demand> demands = demands_of(trace);
  ASSERT_EQ(told.size(), demands.size());
  for (size_t i = 0; i < told.size(); ++i) {
    EXPECT_EQ(told[i].layer, demands[i].layer) << i;
    std::vector<int> experts = told[i].experts;
    std::ranges::sort(experts);
    // A later chunk finds some in memory again: for the policy that is the same token.
    experts.erase(std::unique(experts.begin(), experts.end()), experts.end());
    std::vector<int> wanted = demands[i].experts;
    std::ranges::sort(wanted);
    EXPECT_EQ(experts, wanted) << i;
  }
}

TEST(ExpertStream, decoding_alone_hits_as_often_as_its_replay) {
  Trace trace = a_chat();
  std::erase_if(trace.entries, [](const TraceEntry& e) { return e.phase == Phase::prefill; });
  for (const PolicyKind policy : {PolicyKind::lru, PolicyKind::lfu, PolicyKind::least_stale}) {
    Model model;
    SlotPool pool(model.reader, model.files, 12, policy);
    play(model, pool, trace);
    const ReplayResult wanted = replay(trace, policy, 12);
    EXPECT_EQ(pool.statistics().hits, wanted.hits) << to_string(policy);
    EXPECT_EQ(pool.statistics().misses, wanted.misses) << to_string(policy);
  }
}

TEST(ExpertStream, a_prompt_does_not_make_lfu_forget_what_decoding_used) {
  Model model;
  SlotPool pool(model.reader, model.files, 12, PolicyKind::lfu);
  const std::vector<int> hot{1, 4, 9};
  for (int token = 0; token < 20; ++token) model.drain({pool, 0, hot, Use::keep}, 0);
  for (const int layer : {0, 1}) {
    for (int chunk = 0; chunk < 8; ++chunk) {
      model.drain({pool, layer, up_to(kExperts), chunk < 7 ? Use::pass_again : Use::pass}, layer);
    }
  }
  model.drain({pool, 0, hot, Use::keep}, 0);
  // Others come once each: none of them is worth more than what was used twenty times.
  for (int token = 0; token < 8; ++token) {
    model.drain({pool, 0, std::vector{10 + token, 20 + token}, Use::keep}, 0);
  }
  for (const int expert : hot) EXPECT_TRUE(pool.holds(0, expert)) << expert;
}

TEST(ExpertStream, says_whether_the_next_experts_are_still_read) {
  io::Gate gate;
  Model model([&](size_t, uint64_t offset, int64_t answer) { return gate.pass(offset, answer); });
  SlotPool pool(model.reader, model.files, 8, PolicyKind::lru);
  ExpertStream stream(pool, 0, std::vector{1, 2}, Use::keep);
  EXPECT_TRUE(stream.would_wait());
  gate.open();
  for (auto some = stream.next(); !some.empty(); some = stream.next()) continue;
  EXPECT_FALSE(stream.would_wait()) << "nothing is left";
}

TEST(ExpertStream, what_is_not_in_memory_is_not_given) {
  Model model;
  SlotPool pool(model.reader, model.files, 8, PolicyKind::lru);
  ExpertStream stream(pool, 0, std::vector{1, 2}, Use::keep);
  stream.next();
  EXPECT_THROW(stream.acquire(5, model.weights[5]), Error);
}

}  // namespace
}  // namespace sluice::residency
