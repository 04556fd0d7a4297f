#include "sluice/residency/experts/token_experts.h"

#include <gtest/gtest.h>

namespace sluice::residency {
namespace {

using Experts = std::vector<int32_t>;

TEST(TokenExperts, a_token_is_guessed_to_ask_for_what_it_asked_for_last) {
  TokenExperts known({.n_layers = 2, .n_experts_per_tok = 2, .n_tokens = 100});
  known.begin(std::vector<int32_t>{7});
  EXPECT_TRUE(known.guess(0).empty());
  known.add(0, Experts{3, 5}, 1);
  known.add(1, Experts{1, -1}, 1);
  known.begin(std::vector<int32_t>{8});
  EXPECT_TRUE(known.guess(0).empty());
  known.add(0, Experts{5, 9}, 1);
  known.begin(std::vector<int32_t>{7});
  EXPECT_EQ(known.guess(0), (std::vector<int>{3, 5}));
  EXPECT_EQ(known.guess(1), (std::vector<int>{1}));
  known.begin(std::vector<int32_t>{7, 8});
  EXPECT_EQ(known.guess(0), (std::vector<int>{3, 5, 9})) << "the best of each first, each once";
  known.add(0, Experts{0, 1, 2, 3}, 2);
  known.begin(std::vector<int32_t>{8});
  EXPECT_EQ(known.guess(0), (std::vector<int>{2, 3}));
}

TEST(TokenExperts, a_full_table_forgets_and_never_mistakes_a_token_for_another) {
  TokenExperts known({.n_layers = 1, .n_experts_per_tok = 1, .n_tokens = 4});
  known.begin(std::vector<int32_t>{2, 6, 3});  // 2 and 6 share a place
  known.add(0, Experts{10, 20, 30}, 3);
  known.begin(std::vector<int32_t>{2});
  EXPECT_TRUE(known.guess(0).empty());
  known.begin(std::vector<int32_t>{6});
  EXPECT_TRUE(known.guess(0).empty()) << "2 was there since";
  known.begin(std::vector<int32_t>{3});
  EXPECT_EQ(known.guess(0), std::vector<int>{30});
  known.add(0, Experts{1, 2}, 2);
  known.add(5, Experts{1}, 1);
  EXPECT_EQ(known.guess(0), std::vector<int>{30}) << "neither such tokens nor such a layer";
}

TEST(TokenExperts, the_table_is_bounded) {
  const auto shape = TokenExperts::Shape::within({4 << 20}, 48, 8, 151936);
  EXPECT_LE(shape.memory().count, 4U << 20);
  EXPECT_GT(shape.n_tokens, 5000);
  EXPECT_EQ(TokenExperts::Shape::within({4 << 20}, 6, 4, 512).n_tokens, 512);
  EXPECT_EQ(TokenExperts::Shape::within({0}, 6, 4, 512).n_tokens, 1);
}

}  // namespace
}  // namespace sluice::residency
