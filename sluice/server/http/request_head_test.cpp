#include "sluice/server/http/request_head.h"

#include <gtest/gtest.h>

#include "sluice/server/refusal.h"

namespace sluice::server {
namespace {

int status_of(const std::string& head) {
  try {
    parse_head(head);
  } catch (const Refusal& refusal) {
    return refusal.status;
  }
  return 200;
}

TEST(RequestHead, is_read_into_its_parts) {
  const RequestHead head = parse_head(
      "POST /v1/models/a%2Fb:c/?beta=true HTTP/1.1\r\nHost: me:80\r\nX-Two:\t words here \r\n"
      "Connection: Keep-Alive, CLOSE\r\nContent-Length: 12\r\n\r\n");
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.path, "/v1/models/a/b:c");
  EXPECT_EQ(head.query, "beta=true");
  EXPECT_EQ(head.host, "me:80");
  EXPECT_EQ(head.header("x-two"), "words here");
  EXPECT_EQ(head.content_length, 12U);
  EXPECT_FALSE(head.keeps_alive);
  EXPECT_FALSE(head.chunked);
}

TEST(RequestHead, of_http_1_0_ends_the_connection_unless_told_otherwise) {
  EXPECT_FALSE(parse_head("GET / HTTP/1.0\r\n\r\n").keeps_alive);
  EXPECT_TRUE(parse_head("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keeps_alive);
  EXPECT_EQ(status_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST(RequestHead, may_have_an_absolute_target_whose_host_counts) {
  const RequestHead head =
      parse_head("GET http://evil.example HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(head.host, "evil.example");
  EXPECT_EQ(head.path, "/");
}

TEST(RequestHead, ends_where_its_empty_line_does_or_where_it_is_wrong) {
  const std::string whole = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(find_head_end(whole.substr(0, n)));
  EXPECT_EQ(find_head_end(whole + "more"), whole.size());
  EXPECT_EQ(find_head_end("GET / HTTP/1.1\nHost"), 15U);
  EXPECT_EQ(find_head_end("\x16\x03"), 1U);
}

TEST(RequestHead, is_refused_or_read_never_more_whatever_the_bytes) {
  const std::string good =
      "GET /%41?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
  for (size_t at = 0; at < good.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string damaged = good;
      damaged[at] = static_cast<char>(byte);
      const int status = status_of(damaged);
      EXPECT_TRUE(status == 200 || status == 400 || status == 417 || status == 505) << damaged;
    }
  }
}

}  // namespace
}  // namespace sluice::server
