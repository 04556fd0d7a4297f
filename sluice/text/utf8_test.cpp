#include "sluice/text/utf8.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice::text {
namespace {

constexpr const char* kBad = "\xEF\xBF\xBD";

std::string lossy(std::string_view bytes) {
  Utf8Stream stream;
  std::string text = stream.push(bytes);
  return text + stream.finish();
}

TEST(Utf8Stream, HoldsACharacterBackUntilItIsWhole) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xF0\x9F"), "a");
  EXPECT_EQ(stream.push("\x98"), "");
  EXPECT_EQ(stream.push("\x80z"), "\xF0\x9F\x98\x80z");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8Stream, ReplacesEachMaximalPartOfACharacter) {
  // Unicode 15, table 3-8 and the examples around it.
  EXPECT_EQ(lossy("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            std::string() + kBad + kBad + kBad + kBad + kBad + kBad + kBad + kBad + "A");
  EXPECT_EQ(lossy("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"),
            std::string() + kBad + kBad + kBad + kBad + "A");
  EXPECT_EQ(lossy("\xED\xA0\x80"), std::string() + kBad + kBad + kBad);  // a surrogate
  EXPECT_EQ(lossy("\xF4\x90\x80\x80"), std::string() + kBad + kBad + kBad + kBad);
}

TEST(Utf8Stream, ReplacesACharacterThatTheEndCutsOff) {
  EXPECT_EQ(lossy("ab\xE2\x82"), std::string("ab") + kBad);
}

TEST(Utf8Stream, GivesTheSameTextHoweverTheBytesAreCut) {
  std::mt19937 random(1);
  const std::string alphabet = "a\x80\xBF\xC3\xA9\xE0\xA0\xE2\x82\xAC\xED\x9F\xF0\x9F\x98\xF4\xFF";
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (size_t i = random() % 16; i > 0; --i) bytes += alphabet[random() % alphabet.size()];
    Utf8Stream stream;
    std::string text;
    for (size_t at = 0; at < bytes.size();) {
      const size_t n = 1 + random() % 3;
      text += stream.push(std::string_view(bytes).substr(at, n));
      at += n;
    }
    ASSERT_EQ(text + stream.finish(), lossy(bytes));
  }
}

}  // namespace
}  // namespace sluice::text
