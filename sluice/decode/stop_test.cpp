#include "sluice/decode/stop.h"

#include <gtest/gtest.h>

namespace sluice::decode {
namespace {

/// What a matcher shows of `text`, fed in pieces of n bytes.
std::string shown(const std::string& text, size_t n, std::vector<std::string> stops) {
  StopMatcher matcher(std::move(stops));
  std::string out;
  for (size_t i = 0; i < text.size(); i += n) out += matcher.push(text.substr(i, n));
  return out + matcher.finish();
}

TEST(StopMatcher, a_stop_string_is_found_however_the_text_is_cut) {
  for (size_t n = 1; n < 12; ++n) {
    EXPECT_EQ(shown("one ## two", n, {"##"}), "one ");
    EXPECT_EQ(shown("a#b##", n, {"##"}), "a#b");
    EXPECT_EQ(shown("nothing here", n, {"###", "xyz"}), "nothing here");
    EXPECT_EQ(shown("aab and aaab", n, {"aaab"}), "aab and ");
    EXPECT_EQ(shown("x<|end|>y", n, {"<|end|>", "<|e"}), "x");
  }
}

TEST(StopMatcher, text_that_only_begins_a_stop_string_comes_out_at_the_end) {
  EXPECT_EQ(shown("wait #", 1, {"##"}), "wait #");
  EXPECT_EQ(shown("plain", 2, {""}), "plain");
}

}  // namespace
}  // namespace sluice::decode
