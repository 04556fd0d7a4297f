#include "sluice/server/http/trace_context.h"

#include <gtest/gtest.h>

namespace sluice::server {
namespace {

constexpr const char* kTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

std::string read(const std::vector<std::string>& values) {
  RequestHead head;
  for (const std::string& value : values) head.headers.emplace_back("traceparent", value);
  return trace_context_of(head).header();
}

TEST(TraceContext, is_read_and_given_back) {
  EXPECT_EQ(read({kTrace}), kTrace);
  EXPECT_EQ(read({"01" + std::string(kTrace).substr(2) + "-more"}), kTrace);
}

TEST(TraceContext, is_none_where_it_is_damaged) {
  EXPECT_EQ(read({}), "");
  EXPECT_EQ(read({kTrace, kTrace}), "");
  for (const char* const wrong :
       {"", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g"}) {
    EXPECT_EQ(read({wrong}), "") << wrong;
  }
}

}  // namespace
}  // namespace sluice::server
