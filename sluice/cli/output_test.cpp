#include "sluice/cli/output.h"

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

TEST(Output, escape_sequences_and_line_feeds_in_names_are_written_out) {
  EXPECT_EQ(printable("a\x1b[31mb"), "a\\x1b[31mb");
  EXPECT_EQ(printable("one\ntwo\r\t"), "one\\ntwo\\x0d\\x09");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\x7f"), "\\x7f");
}

TEST(Output, running_text_keeps_line_feeds_and_tabs) {
  EXPECT_EQ(printable_text("one\n\ttwo\x1b]0;title\x07"), "one\n\ttwo\\x1b]0;title\\x07");
}

TEST(Output, letters_of_every_script_are_kept) {
  EXPECT_EQ(printable("Grüße, 世界, 🙂"), "Grüße, 世界, 🙂");
}

TEST(Output, c1_controls_and_reordering_characters_are_written_out) {
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\x9b31m");
  EXPECT_EQ(printable("\u202e"
                      "gpj.exe"),
            "\\u202egpj.exe");
}

TEST(Output, bytes_that_are_not_utf8_are_written_out) {
  EXPECT_EQ(printable("\xff"), "\\xff");
  EXPECT_EQ(printable("\xc0\x80"), "\\xc0\\x80");           // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("\xe4\xb8"), "\\xe4\\xb8");           // cut off
  EXPECT_EQ(printable("\xf5\x80\x80\x80"), "\\xf5\\x80\\x80\\x80");
}

}  // namespace
}  // namespace sluice::cli
