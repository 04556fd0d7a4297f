#include "sluice/io/formats/json_excess.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace sluice::io {
namespace {

size_t depth_of(const nlohmann::json& value) {
  if (!value.is_structured()) return 0;
  size_t deepest = 0;
  for (const auto& item : value) deepest = std::max(deepest, depth_of(item));
  return deepest + 1;
}

size_t most_keys(const nlohmann::json& value) {
  if (!value.is_structured()) return 0;
  size_t most = value.is_object() ? value.size() : 0;
  for (const auto& item : value) most = std::max(most, most_keys(item));
  return most;
}

/// With one more for each that is empty.
size_t count_values(const nlohmann::json& value) {
  if (!value.is_structured()) return 1;
  size_t sum = value.empty() ? 2 : 1;
  for (const auto& item : value) sum += count_values(item);
  return sum;
}

nlohmann::json random_value(std::mt19937& random, int levels) {
  const auto kind = random() % (levels > 0 ? 4 : 2);
  if (kind == 0) return random() % 100;
  if (kind == 1) return std::string(R"(a "{[:\]} b)").substr(random() % 8);
  nlohmann::json value = kind == 2 ? nlohmann::json::array() : nlohmann::json::object();
  for (auto i = random() % 4; i > 0; --i) {
    if (kind == 2) {
      value.push_back(random_value(random, levels - 1));
    } else {
      value["\":{" + std::to_string(i)] = random_value(random, levels - 1);
    }
  }
  return value;
}

TEST(JsonExcess, is_what_the_built_value_has_beyond_the_limits) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    const nlohmann::json value = random_value(random, 6);
    const std::string text = value.dump();
    const size_t depth = depth_of(value), keys = most_keys(value), values = count_values(value);
    EXPECT_FALSE(find_excess(text, {depth, keys, values})) << text;
    if (depth > 0) {
      const auto excess = find_excess(text, {.depth = depth - 1});
      ASSERT_TRUE(excess) << text;
      EXPECT_EQ(excess->what, JsonExcess::What::depth);
      EXPECT_TRUE(text[excess->at] == '[' || text[excess->at] == '{');
    }
    if (keys > 0) {
      const auto excess = find_excess(text, {depth, keys - 1, values});
      ASSERT_TRUE(excess) << text;
      EXPECT_EQ(excess->what, JsonExcess::What::keys);
      EXPECT_EQ(text[excess->at], ':');
    }
    if (values > 1) {
      const auto excess = find_excess(text, {depth, keys, values - 1});
      ASSERT_TRUE(excess) << text;
      EXPECT_EQ(excess->what, JsonExcess::What::values);
    }
  }
}

TEST(JsonExcess, is_none_in_strings_and_after_closing_what_was_not_open) {
  EXPECT_FALSE(find_excess(R"(["[[[[", "\"[[", "\\"])", {.depth = 1}));
  EXPECT_FALSE(find_excess("]]]}[1]", {.depth = 1}));
  EXPECT_FALSE(find_excess("\"ends in \\", {.depth = 0}));
  EXPECT_EQ(find_excess("[1,[2]]", {.depth = 1})->at, 3U);
  EXPECT_EQ(find_excess(std::string(1'000'000, '['), {.depth = 64})->at, 64U);
}

}  // namespace
}  // namespace sluice::io
