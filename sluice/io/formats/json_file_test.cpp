#include "sluice/io/formats/json_file.h"

#include <gtest/gtest.h>

#include <string>

#include "sluice/base/error.h"
#include "sluice/io/formats/test_files.h"

namespace sluice::io {
namespace {

std::string message_of(std::string_view text, const JsonLimits& limits = {}) {
  const Error error = error_of([&] { parse_json(text, "config.json", limits); });
  EXPECT_EQ(error.kind(), ErrorKind::bad_model);
  return error.what();
}

std::string nested(int depth) {
  return "{\"a\":" + std::string(static_cast<size_t>(depth - 1), '[') +
         std::string(static_cast<size_t>(depth - 1), ']') + "}";
}

TEST(JsonFile, an_object_is_read) {
  const TestDirectory directory;
  const auto config = read_json_file(directory.write("config.json", R"({"hidden_size": 64})"));
  EXPECT_EQ(config.at("hidden_size"), 64);
}

TEST(JsonFile, infinities_of_python_are_near_the_largest_number) {
  const auto config = parse_json(R"({"limit": [0.0, Infinity], "least": -Infinity,
    "text": "to \"Infinity\" and beyond"})",
                                 "config.json");
  EXPECT_EQ(config.at("limit")[1], 1e308);
  EXPECT_EQ(config.at("least"), -1e308);
  EXPECT_EQ(config.at("text"), "to \"Infinity\" and beyond");
  EXPECT_EQ(message_of("{\n \"a\": Infinity oops}"),
            "config.json: is no JSON from line 2, column 16 on");
}

TEST(JsonFile, damage_is_named_by_file_line_and_column) {
  EXPECT_EQ(message_of("{\n  \"a\": 1,\n  oops\n}"),
            "config.json: is no JSON from line 3, column 3 on");
}

TEST(JsonFile, a_text_that_ends_early_is_damage) {
  EXPECT_EQ(message_of("{\"a\": [1, 2"), "config.json: is no JSON from line 1, column 12 on");
  EXPECT_EQ(message_of("{\"a\": \"\\"), "config.json: is no JSON from line 1, column 9 on");
}

TEST(JsonFile, what_follows_the_object_is_damage) {
  EXPECT_NE(message_of("{} {}").find("column 4"), std::string::npos);
}

TEST(JsonFile, invalid_utf8_is_damage) {
  EXPECT_NE(message_of("{\"a\": \"\xff\"}").find("column 8"), std::string::npos);
}

TEST(JsonFile, the_top_must_be_an_object) {
  EXPECT_EQ(message_of("[1]"), "config.json: the top is of type array, wanted an object");
  EXPECT_EQ(message_of("null"), "config.json: the top is of type null, wanted an object");
}

TEST(JsonFile, nesting_is_limited) {
  EXPECT_NO_THROW(parse_json(nested(64), "config.json"));
  EXPECT_EQ(message_of(nested(65)),
            "config.json: nested deeper than 64 levels at line 1, column 69");
  EXPECT_NE(message_of(std::string(1'000'000, '[')).find("nested deeper"), std::string::npos);
}

TEST(JsonFile, brackets_inside_strings_do_not_nest) {
  const std::string brackets(100, '[');
  EXPECT_NO_THROW(parse_json("{\"" + brackets + "\": \"\\\"" + brackets + "\"}", "config.json"));
}

TEST(JsonFile, a_file_above_the_size_limit_is_refused) {
  JsonLimits limits;
  limits.size = Bytes{4};
  EXPECT_EQ(message_of("{    }", limits), "config.json: is 6 B, at most 4 B are read");
}

TEST(JsonFile, numbers_beyond_a_double_are_refused) {
  EXPECT_EQ(message_of("{\"a\": 1e999}"),
            "config.json: holds a number that no double can represent");
}

TEST(JsonFile, a_missing_file_is_an_io_error) {
  const TestDirectory directory;
  const Error error = error_of([&] { read_json_file(directory.path() / "config.json"); });
  EXPECT_EQ(error.kind(), ErrorKind::io);
}

}  // namespace
}  // namespace sluice::io
