#include "sluice/base/gmac.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Gmac, of_nothing_is_that_of_gcms_test_case_13) {
  Gmac mac(std::string(32, '\0'));
  EXPECT_EQ(mac.finish(), "\x53\x0f\x8a\xfb\xc7\x45\x36\xb9\xa9\x63\xb4\xf1\xc4\xcb\x73\x8b");
}

TEST(Gmac, is_the_same_in_pieces_and_not_with_another_key) {
  const std::string text = "what is checked, longer than a block";
  const auto bytes = std::as_bytes(std::span(text));
  Gmac all(std::string(32, 'k')), pieces(std::string(32, 'k')), other(std::string(32, 'l'));
  all.update(bytes);
  pieces.update(bytes.first(5));
  pieces.update(bytes.subspan(5));
  other.update(bytes);
  const std::string tag = all.finish();
  EXPECT_EQ(tag, pieces.finish());
  EXPECT_NE(tag, other.finish());
}

}  // namespace
}  // namespace sluice
