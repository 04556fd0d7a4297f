#include "sluice/server/answers/answer_id.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace sluice::server {
namespace {

TEST(AnswerId, are_24_letters_and_digits_and_never_the_same) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(new_id());
  EXPECT_EQ(ids.size(), 1000U);
  for (const std::string& id : ids) {
    EXPECT_EQ(id.size(), 24U);
    EXPECT_TRUE(std::ranges::all_of(id, [](unsigned char c) { return std::isalnum(c) != 0; }));
  }
}

}  // namespace
}  // namespace sluice::server
