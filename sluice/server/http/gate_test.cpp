#include "sluice/server/http/gate.h"

#include <gtest/gtest.h>

#include "sluice/server/refusal.h"

namespace sluice::server {
namespace {

RequestHead asked(const std::string& host, Headers headers = {}) {
  RequestHead head;
  head.method = "GET";
  head.host = host;
  head.headers = std::move(headers);
  return head;
}

bool lets_in(const Gate& gate, const RequestHead& head) {
  try {
    gate.check_place(head);
    gate.check_key(head);
    return true;
  } catch (const Refusal&) {
    return false;
  }
}

TEST(Gate, without_keys_knows_addresses_and_localhost_only) {
  const Gate gate({.allowed_hosts = {"box.lan"}});
  for (const char* const host : {"localhost", "LOCALHOST:1", "a.localhost", "127.0.0.1:8080",
                                 "[::1]", "[fe80::1]:80", "192.168.0.2", "box.lan:80"})
    EXPECT_TRUE(lets_in(gate, asked(host))) << host;
  for (const char* const host :
       {"evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "1.2.3", "lan", "[evil]"})
    EXPECT_FALSE(lets_in(gate, asked(host))) << host;
}

TEST(Gate, with_keys_asks_for_one_of_them) {
  const Gate gate({.api_keys = {"one", "two"}});
  EXPECT_TRUE(lets_in(gate, asked("any.example", {{"authorization", "Bearer one"}})));
  EXPECT_TRUE(lets_in(gate, asked("any.example", {{"x-api-key", "two"}})));
  for (const char* const wrong : {"", "on", "one ", "One", "onetwo"})
    EXPECT_FALSE(lets_in(gate, asked("any.example", {{"x-api-key", wrong}}))) << wrong;
  EXPECT_EQ(gate.client_of(asked("a", {{"x-api-key", "two"}})), "key 2");
}

TEST(Gate, tells_the_pages_that_are_named_and_no_others_that_they_may_read) {
  const Gate gate({.allowed_origins = {"app://*", "https://chat.example"}});
  EXPECT_EQ(gate.cors_headers(asked("localhost", {{"origin", "app://x"}})).front().second,
            "app://x");
  EXPECT_TRUE(gate.cors_headers(asked("localhost", {{"origin", "http://localhost"}})).empty());
  EXPECT_TRUE(gate.cors_headers(asked("localhost", {{"origin", "https://evil"}})).empty());
  EXPECT_TRUE(lets_in(gate, asked("localhost:1", {{"origin", "http://localhost:1"}})));
  EXPECT_FALSE(lets_in(gate, asked("localhost:1", {{"origin", "http://localhost:2"}})));
  EXPECT_FALSE(lets_in(gate, asked("localhost", {{"origin", "https://chat.example.evil"}})));
}

}  // namespace
}  // namespace sluice::server
