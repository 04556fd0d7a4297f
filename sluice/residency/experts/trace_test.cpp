#include "sluice/residency/experts/trace.h"

#include <gtest/gtest.h>

#include "sluice/base/error.h"
#include "sluice/io/formats/test_files.h"
#include "sluice/residency/experts/replay.h"

namespace sluice::residency {
namespace {

const std::string kHeader = R"({"format":"sluice-trace","version":1,"n_layers":2,"n_experts":4})"
                            "\n";

Trace trace_of(const std::string& lines) {
  const io::TestDirectory directory;
  return read_trace(directory.write("trace", kHeader + lines));
}

TEST(Trace, is_read_as_it_was_written) {
  const io::TestDirectory directory;
  const auto path = directory.path() / "trace";
  TraceWriter writer(path, 2, 4);
  writer.add(0, 0, Phase::prefill, std::vector{3, 1});
  writer.add(1, 1, Phase::decode, std::vector{2});
  writer.finish();
  const Trace trace = read_trace(path);
  EXPECT_EQ(trace.n_layers, 2);
  EXPECT_EQ(trace.n_experts, 4);
  ASSERT_EQ(trace.entries.size(), 2u);
  EXPECT_EQ(trace.entries[0].phase, Phase::prefill);
  EXPECT_EQ(trace.entries[0].experts, (std::vector{3, 1}));
  EXPECT_EQ(trace.entries[1].token, 1);
  EXPECT_EQ(trace.entries[1].layer, 1);
}

TEST(Trace, what_is_not_finished_leaves_the_old_one) {
  const io::TestDirectory directory;
  const auto path = directory.write("trace", kHeader + "[7,1,0,2]\n");
  { TraceWriter(path, 2, 4).add(0, 0, Phase::decode, std::vector{3}); }
  EXPECT_EQ(read_trace(path).entries[0].token, 7);
}

TEST(Trace, a_header_of_anything_else_is_refused) {
  const io::TestDirectory directory;
  for (const char* header :
       {"", "\n", "x\n", "[]\n", "{}\n",
        R"({"format":"other","version":1,"n_layers":2,"n_experts":4})",
        R"({"format":"sluice-trace","version":2,"n_layers":2,"n_experts":4})",
        R"({"format":"sluice-trace","version":1,"n_layers":0,"n_experts":4})",
        R"({"format":"sluice-trace","version":1,"n_layers":5000,"n_experts":4})",
        R"({"format":"sluice-trace","version":1,"n_layers":2,"n_experts":1e9})",
        R"({"format":"sluice-trace","version":1,"n_layers":-1,"n_experts":4})"}) {
    const auto path = directory.write("trace", header);
    EXPECT_EQ(io::error_of([&] { (void)read_trace(path); }).kind(), ErrorKind::bad_request)
        << header;
  }
  EXPECT_EQ(io::error_of([&] { (void)read_trace(directory.path() / "absent"); }).kind(),
            ErrorKind::io);
}

TEST(Trace, a_damaged_line_is_named) {
  for (const std::string line : {"[0,0,0]", "[0,2,0,1]", "[0,0,2,1]", "[0,0,0,4]", "[0,0,0,1,1]",
                                 "[-1,0,0,1]", "[0,0,0,1.5]", "[0,0,0,\"1\"]", "{}", "[0,0,0,1",
                                 "[[[[", "", "[18446744073709551615,0,0,1]"}) {
    const Error error = io::error_of([&] { (void)trace_of("[0,0,0,1]\n" + line + "\n"); });
    EXPECT_EQ(error.kind(), ErrorKind::bad_request) << line;
    EXPECT_NE(std::string(error.what()).find("line 3 is no"), std::string::npos) << error.what();
  }
  EXPECT_EQ(io::error_of([] { (void)trace_of(std::string(3 << 20, '7')); }).kind(),
            ErrorKind::bad_request);
  EXPECT_EQ(io::error_of([] { (void)trace_of(std::string(500'000, '[')); }).kind(),
            ErrorKind::bad_request);
}

/// n tokens through two layers; in each the experts alternate between {0, 1} and {2, 3}.
Trace alternating(int n) {
  Trace trace{2, 4, {}};
  for (int token = 0; token < n; ++token) {
    for (int layer = 0; layer < 2; ++layer) {
      const int first = token % 2 * 2;
      trace.entries.push_back({token, layer, Phase::decode, {first, first + 1}});
    }
  }
  return trace;
}

TEST(Replay, belady_is_never_beaten_and_all_slots_miss_only_once) {
  const Trace trace = alternating(50);
  for (int slots = 1; slots <= 8; ++slots) {
    const auto best = replay_belady(trace, slots);
    EXPECT_EQ(best.hits + best.misses, 200);
    for (const auto kind : {PolicyKind::lru, PolicyKind::lfu, PolicyKind::lcp,
                            PolicyKind::least_stale, PolicyKind::s3_fifo}) {
      EXPECT_LE(replay(trace, kind, slots).hits, best.hits) << to_string(kind) << " " << slots;
      EXPECT_TRUE(slots < 8 || replay(trace, kind, slots).misses == 8);
    }
  }
  EXPECT_EQ(replay_belady(trace, 8).misses, 8);
  EXPECT_GT(replay_belady(trace, 6).hits, 0);
}

TEST(Replay, lru_hits_nothing_in_a_pool_smaller_than_one_token) {
  Trace trace{6, 4, {}};
  for (int i = 0; i < 300; ++i) trace.entries.push_back({i / 6, i % 6, Phase::decode, {1, 2}});
  EXPECT_EQ(replay(trace, PolicyKind::lru, 12).misses, 12);
  EXPECT_EQ(replay(trace, PolicyKind::lru, 9).hits, 0);
  EXPECT_GT(replay(trace, PolicyKind::lfu, 9).hit_rate(), 0.6);
  EXPECT_GT(replay_belady(trace, 9).hit_rate(), 0.6);
}

TEST(Replay, a_prefill_asks_for_each_expert_once_and_is_not_counted) {
  Trace trace{1, 4, {}};
  for (int token = 0; token < 3; ++token) {
    trace.entries.push_back({token, 0, Phase::prefill, {0, token + 1}});
  }
  trace.entries.push_back({3, 0, Phase::decode, {0, 1}});
  const auto demands = demands_of(trace);
  ASSERT_EQ(demands.size(), 2u);
  EXPECT_EQ(demands[0].experts, (std::vector{0, 1, 2, 3}));
  const auto all = replay(trace, PolicyKind::lfu, 4);
  EXPECT_EQ(all.hits, 2);
  EXPECT_EQ(all.misses, 0);
  EXPECT_EQ(replay_belady(trace, 2).hits, 2);
  EXPECT_EQ(replay(trace, PolicyKind::lru, 2).hits + replay(trace, PolicyKind::lru, 2).misses, 2);
}

}  // namespace
}  // namespace sluice::residency
