#include "sluice/server/serving/log_line.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace sluice::server {
namespace {

TEST(LogLine, is_one_line_of_ascii_whatever_it_holds) {
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (auto i = random() % 20; i > 0; --i) text += static_cast<char>(random() % 256);
    const Json fields{{"path", text}, {"n", 3}, {"seconds", 0.25}};
    for (const LogFormat format : {LogFormat::text, LogFormat::json}) {
      const std::string line = log_line(format, "request", fields);
      EXPECT_TRUE(std::ranges::all_of(line, [](char c) { return c >= ' ' && c < 0x7F; })) << line;
    }
    const Json read = Json::parse(log_line(LogFormat::json, "request", fields));
    EXPECT_EQ(read["n"], 3);
    EXPECT_EQ(read.contains("path"), !text.empty());
  }
}

TEST(LogLine, quotes_what_could_be_taken_for_another_field) {
  EXPECT_EQ(log_line(LogFormat::text, "request",
                     {{"path", "/a b"}, {"client", "x status=200"}, {"id", "req_1"}, {"none", ""}}),
            R"(request path="/a b" client="x status=200" id=req_1)");
}

}  // namespace
}  // namespace sluice::server
