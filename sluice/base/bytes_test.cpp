#include "sluice/base/bytes.h"

#include <gtest/gtest.h>

#include "sluice/base/error.h"

namespace sluice {
namespace {

TEST(Bytes, sizes_read_as_the_command_line_writes_them) {
  EXPECT_EQ(parse_bytes("3GB").count, 3'000'000'000u);
  EXPECT_EQ(parse_bytes("700MB").count, 700'000'000u);
  EXPECT_EQ(parse_bytes("2GiB").count, 2147483648u);
  EXPECT_EQ(parse_bytes("1.5GB").count, 1'500'000'000u);
  EXPECT_EQ(parse_bytes("4096").count, 4096u);
}

TEST(Bytes, nonsense_is_refused) {
  for (const char* text : {"", "GB", "-1GB", "3XB", "3 GB", "nan", "inf", "1e30", "99999999TB"}) {
    EXPECT_THROW(parse_bytes(text), Error) << text;
  }
}

TEST(Bytes, sizes_print_with_three_digits) {
  EXPECT_EQ(to_string(Bytes{12}), "12 B");
  EXPECT_EQ(to_string(Bytes{253'000'000}), "253 MB");
  EXPECT_EQ(to_string(Bytes{1'500'000'000}), "1.50 GB");
}

}  // namespace
}  // namespace sluice
