#include "sluice/server/answers/matcher_ahead.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>

#include "sluice/base/error.h"

namespace sluice::server {
namespace {

constexpr size_t kTokens = 1000;

/// Lets the last token's successors of the same remainder follow; ends behind token 0.
class Remainders : public text::GrammarMatcher {
 public:
  explicit Remainders(std::shared_ptr<std::atomic<int>> masks) : masks_(std::move(masks)) {}
  void mask(std::span<float> logits) override {
    ++*masks_;
    if (last_ == 999) throw Error(ErrorKind::bad_request, "too costly");
    for (size_t i = 0; i < logits.size(); ++i) {
      if (i % 7 != static_cast<size_t>(last_) % 7) logits[i] = -INFINITY;
    }
  }
  bool accept(text::Token token) override {
    last_ = token;
    return token != 0;
  }

 private:
  std::shared_ptr<std::atomic<int>> masks_;
  text::Token last_ = 1;
};

TEST(MatcherAhead, finds_the_same_masks_with_a_thread_and_without) {
  const auto counted = std::make_shared<std::atomic<int>>(0);
  const auto thread = std::make_shared<MaskThread>();
  MatcherAhead ahead(std::make_unique<Remainders>(counted), thread, kTokens);
  MatcherAhead plain(std::make_unique<Remainders>(counted), nullptr, kTokens);
  for (int i = 0; i < 200; ++i) {
    std::vector<float> a(kTokens + 3, 0.5F), b = a;
    ahead.mask(a);
    plain.mask(b);
    ASSERT_EQ(a, b) << i;
    ASSERT_EQ(a[kTokens], -INFINITY) << "no token";
    const auto token = static_cast<text::Token>(1 + i % 7 + 7 * (i % 100));
    ASSERT_EQ(ahead.accept(token), plain.accept(token));
  }
  EXPECT_FALSE(ahead.accept(0));
}

TEST(MatcherAhead, throws_what_finding_a_mask_threw_and_goes_on_without_one_that_nobody_wanted) {
  const auto counted = std::make_shared<std::atomic<int>>(0);
  const auto thread = std::make_shared<MaskThread>();
  std::vector<float> logits(kTokens);
  MatcherAhead matcher(std::make_unique<Remainders>(counted), thread, kTokens);
  EXPECT_TRUE(matcher.accept(3)) << "a guess, say";
  EXPECT_TRUE(matcher.accept(4));
  matcher.mask(logits);
  EXPECT_EQ(logits[4], 0.0F);
  EXPECT_TRUE(matcher.accept(999));
  EXPECT_THROW(matcher.mask(logits), Error);
}

TEST(MatcherAhead, of_many_answers_share_a_thread_and_may_end_at_any_time) {
  const auto counted = std::make_shared<std::atomic<int>>(0);
  const auto thread = std::make_shared<MaskThread>();
  for (int round = 0; round < 50; ++round) {
    std::vector<std::unique_ptr<MatcherAhead>> matchers;
    for (int i = 0; i < 20; ++i)
      matchers.push_back(
          std::make_unique<MatcherAhead>(std::make_unique<Remainders>(counted), thread, kTokens));
    std::vector<float> logits(kTokens);
    matchers[static_cast<size_t>(round) % 20]->mask(logits);
    EXPECT_EQ(logits[1], 0.0F);
  }
  EXPECT_LE(counted->load(), 50 * 20);
}

}  // namespace
}  // namespace sluice::server
