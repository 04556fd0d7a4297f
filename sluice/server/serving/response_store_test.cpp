#include "sluice/server/serving/response_store.h"

#include <gtest/gtest.h>

namespace sluice::server {
namespace {

KeptResponse response(const std::string& id, size_t bytes = 0) {
  return {.messages = Json::array({{{"role", "user"}, {"content", std::string(bytes, 'x')}}}),
          .response = {{"id", id}, {"output", Json::array()}}};
}

TEST(ResponseStore, gives_a_response_to_its_own_client_only) {
  ResponseStore store({});
  store.keep("key 1", response("a"));
  ASSERT_TRUE(store.find("key 1", "a"));
  EXPECT_EQ(store.find("key 1", "a")->messages, response("a").messages);
  EXPECT_FALSE(store.find("key 2", "a"));
  EXPECT_FALSE(store.remove("key 2", "a"));
  EXPECT_TRUE(store.remove("key 1", "a"));
  EXPECT_FALSE(store.find("key 1", "a"));
  EXPECT_FALSE(store.remove("key 1", "a"));
}

TEST(ResponseStore, lets_the_one_go_that_was_used_longest_ago) {
  ResponseStore store({.bytes = Bytes{2500}});
  store.keep("", response("a", 1000));
  store.keep("", response("b", 1000));
  EXPECT_TRUE(store.find("", "a"));
  store.keep("", response("c", 1000));
  EXPECT_TRUE(store.find("", "a"));
  EXPECT_FALSE(store.find("", "b"));
  EXPECT_TRUE(store.find("", "c"));
  store.keep("", response("d", 5000));
  EXPECT_FALSE(store.find("", "d"));
  EXPECT_TRUE(store.find("", "c"));
  ResponseStore none({.bytes = Bytes{0}});
  none.keep("", response("a"));
  EXPECT_FALSE(none.find("", "a"));
}

TEST(ResponseStore, forgets_what_is_too_old) {
  ResponseStore::Clock::time_point now{};
  ResponseStore store({.age = std::chrono::hours(1), .now = [&now] { return now; }});
  store.keep("", response("a"));
  now += std::chrono::minutes(60);
  EXPECT_TRUE(store.find("", "a"));
  now += std::chrono::minutes(1);
  EXPECT_FALSE(store.find("", "a"));
}

}  // namespace
}  // namespace sluice::server
