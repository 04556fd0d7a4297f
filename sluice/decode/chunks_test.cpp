#include "sluice/decode/chunks.h"

#include <gtest/gtest.h>

namespace sluice::decode {
namespace {

struct Case {
  const char* what;
  int64_t n_tokens, first_wanted;
  ChunkLimits limits;
  std::vector<std::vector<Chunk>> groups;
};

const Case kCases[] = {
    {"a short prompt is one step", 10, 9, {512, 8, 0}, {{{0, 10, 1}}}},
    {"one token", 1, 0, {512, 8, 0}, {{{0, 1, 1}}}},
    {"without logits", 10, 10, {4, 8, 0}, {{{0, 4, 0}}, {{4, 4, 0}}, {{8, 2, 0}}}},
    {"the last chunk alone wants some", 10, 9, {4, 8, 0}, {{{0, 4, 0}}, {{4, 4, 0}}, {{8, 2, 1}}}},
    {"logits of all, as many as fit",
     10,
     0,
     {8, 3, 0},
     {{{0, 3, 3}}, {{3, 3, 3}}, {{6, 3, 3}}, {{9, 1, 1}}}},
    {"wanted in the middle of a chunk", 10, 5, {8, 2, 0}, {{{0, 7, 2}}, {{7, 2, 2}}, {{9, 1, 1}}}},
    {"one row of logits: no step is left without one",
     10,
     5,
     {8, 1, 0},
     {{{0, 6, 1}}, {{6, 1, 1}}, {{7, 1, 1}}, {{8, 1, 1}}, {{9, 1, 1}}}},
    {"the end is not cut", 10, 9, {4, 8, 0, 5}, {{{0, 4, 0}}, {{4, 1, 0}}, {{5, 5, 1}}}},
    {"a group of whole chunks",
     10,
     9,
     {2, 8, 6},
     {{{0, 2, 0}, {2, 2, 0}, {4, 2, 0}}, {{6, 2, 0}, {8, 2, 1}}}},
    {"a group is not longer than it may be",
     10,
     9,
     {4, 8, 7},
     {{{0, 4, 0}}, {{4, 4, 0}}, {{8, 2, 1}}}},
    {"a group ends where logits begin",
     10,
     4,
     {2, 8, 8},
     {{{0, 2, 0}, {2, 2, 0}, {4, 2, 2}}, {{6, 2, 2}}, {{8, 2, 2}}}},
    {"wanted logits that begin a chunk", 8, 4, {4, 8, 8}, {{{0, 4, 0}, {4, 4, 4}}}},
};

TEST(Chunks, a_prompt_is_cut_as_the_table_says) {
  for (const Case& c : kCases) {
    std::vector<std::vector<Chunk>> groups;
    for (int64_t begin = 0; begin < c.n_tokens;) {
      groups.push_back(group_of_chunks(begin, c.n_tokens, c.first_wanted, c.limits));
      begin = groups.back().back().begin + groups.back().back().n_tokens;
    }
    EXPECT_EQ(groups, c.groups) << c.what;
  }
}

TEST(Chunks, every_token_is_computed_once_and_every_wanted_logit_given) {
  for (int64_t n = 1; n <= 12; ++n) {
    for (int64_t wanted = 0; wanted <= n; ++wanted) {
      for (int64_t tokens = 1; tokens <= 5; ++tokens) {
        for (int64_t rows = 1; rows <= 3; ++rows) {
          for (const int64_t of_a_group : {0, 4, 100}) {
            int64_t begin = 0, logits = 0;
            while (begin < n) {
              const auto group = group_of_chunks(begin, n, wanted, {tokens, rows, of_a_group});
              for (const Chunk& chunk : group) {
                EXPECT_EQ(chunk.begin, begin);
                EXPECT_TRUE(chunk.n_tokens > 0 && chunk.n_tokens <= tokens);
                EXPECT_TRUE(chunk.n_logits <= rows &&
                            (chunk.n_logits == 0 || &chunk == &group.back()));
                EXPECT_EQ(chunk.n_logits > 0, begin + chunk.n_tokens > wanted);
                begin += chunk.n_tokens;
                logits += chunk.n_logits;
              }
            }
            EXPECT_EQ(begin, n);
            EXPECT_EQ(logits, n - wanted);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace sluice::decode
