#include "sluice/io/printable.h"

#include <gtest/gtest.h>

namespace sluice::io {
namespace {

TEST(Printable, ordinary_names_stay_as_they_are) {
  EXPECT_EQ(printable("blk.0.attn_q.weight"), "blk.0.attn_q.weight");
}

TEST(Printable, control_bytes_cannot_break_the_line_or_drive_a_terminal) {
  EXPECT_EQ(printable(std::string_view("a\n\x1b[2J\0b", 8)), "a\\x0a\\x1b[2J\\x00b");
}

TEST(Printable, bytes_that_may_be_no_utf8_are_escaped) {
  EXPECT_EQ(printable("\xff\xc3\xa9"), "\\xff\\xc3\\xa9");
}

TEST(Printable, long_names_are_cut) {
  EXPECT_EQ(printable(std::string(5000, 'x')), std::string(120, 'x') + "...");
}

}  // namespace
}  // namespace sluice::io
