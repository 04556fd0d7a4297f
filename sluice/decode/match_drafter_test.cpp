#include "sluice/decode/match_drafter.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice::decode {
namespace {

using Tokens = std::vector<int32_t>;

TEST(MatchDrafter, copies_what_followed_the_longest_match) {
  MatchDrafter drafter;
  EXPECT_EQ(drafter.draft(Tokens{9, 1, 2, 3, 40, 41, 8, 2, 3, 50, 51, 7, 1, 2, 3}, 2).tokens,
            (Tokens{40, 41}));
}

TEST(MatchDrafter, guesses_nothing_where_nothing_was_seen_before) {
  MatchDrafter drafter;
  EXPECT_TRUE(drafter.draft(Tokens{1, 2, 3, 4}, 8).tokens.empty());
  EXPECT_TRUE(drafter.draft(Tokens{1, 2, 3, 4, 1}, 0).tokens.empty());
  EXPECT_TRUE(MatchDrafter().draft({}, 8).tokens.empty());
}

TEST(MatchDrafter, goes_on_past_the_end_of_what_repeats_itself) {
  MatchDrafter drafter;
  EXPECT_EQ(drafter.draft(Tokens{5, 6, 7, 5, 6, 7, 5}, 7).tokens, (Tokens{6, 7, 5, 6, 7, 5, 6}));
}

TEST(MatchDrafter, lets_places_that_match_as_long_vote) {
  MatchDrafter drafter;
  const Draft draft =
      drafter.draft(Tokens{1, 2, 3, 70, 9, 1, 2, 3, 70, 8, 1, 2, 3, 60, 7, 1, 2, 3}, 1);
  EXPECT_EQ(draft.tokens, Tokens{70});
  EXPECT_LT(draft.chances[0], 0.65F * 0.7F) << "a third of the votes was for another token";
}

TEST(MatchDrafter, takes_from_a_hint_what_the_timeline_has_not_got) {
  MatchDrafter drafter(Tokens{30, 31, 32, 33});
  EXPECT_EQ(drafter.draft(Tokens{1, 2, 31}, 9).tokens, (Tokens{32, 33}))
      << "the hint and the timeline are two texts";
}

TEST(MatchDrafter, learns_how_often_its_guesses_are_right) {
  MatchDrafter good, bad;
  std::mt19937 random(1);
  Tokens repeated, noise;
  for (int i = 0; i < 400; ++i) {
    repeated.push_back(i % 23);
    noise.push_back(static_cast<int32_t>(random() % 5));
    good.draft(repeated, 4);
    bad.draft(noise, 4);
  }
  EXPECT_GT(good.draft(repeated, 1).chances.at(0), 0.95F);
  EXPECT_LT(bad.draft(noise, 1).chances.at(0), 0.45F);
}

TEST(MatchDrafter, says_the_same_whether_the_text_came_at_once_or_token_by_token) {
  std::mt19937 random(2);
  Tokens text;
  MatchDrafter slow;
  for (int i = 0; i < 3000; ++i) {
    text.push_back(static_cast<int32_t>(random() % 7));
    const Tokens guessed = slow.draft(text, 5).tokens;
    if (i % 100 == 0) {
      MatchDrafter at_once;
      EXPECT_EQ(at_once.draft(text, 5).tokens, guessed) << i;
    }
  }
}

}  // namespace
}  // namespace sluice::decode
