#include "sluice/base/printable.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Printable, ordinary_names_stay_as_they_are) {
  EXPECT_EQ(printable("blk.0.attn_q.weight"), "blk.0.attn_q.weight");
  EXPECT_EQ(printable_name("blk.0.attn_q.weight"), "blk.0.attn_q.weight");
}

TEST(Printable, letters_of_every_script_are_kept) {
  EXPECT_EQ(printable("Grüße, 世界, 🙂"), "Grüße, 世界, 🙂");
}

TEST(Printable, escape_sequences_and_line_feeds_are_written_out) {
  EXPECT_EQ(printable("a\x1b[31mb"), "a\\x1b[31mb");
  EXPECT_EQ(printable("one\ntwo\r\t"), "one\\ntwo\\x0d\\x09");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\x7f"), "\\x7f");
}

TEST(Printable, running_text_keeps_line_feeds_and_tabs) {
  EXPECT_EQ(printable_text("one\n\ttwo\x1b]0;title\x07"), "one\n\ttwo\\x1b]0;title\\x07");
}

TEST(Printable, c1_controls_and_reordering_characters_are_written_out) {
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\x9b31m");
  EXPECT_EQ(printable("\u202e"
                      "gpj.exe"),
            "\\u202egpj.exe");
  EXPECT_EQ(printable_text("\u061c\u200e\u200f\u2028\u2029\u2066\u2069"),
            "\\u061c\\u200e\\u200f\\u2028\\u2029\\u2066\\u2069");
}

TEST(Printable, bytes_that_are_not_utf8_are_written_out) {
  EXPECT_EQ(printable("\xff"), "\\xff");
  EXPECT_EQ(printable("\xc0\x80"), "\\xc0\\x80");           // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("\xe4\xb8"), "\\xe4\\xb8");           // cut off
  EXPECT_EQ(printable("\xf5\x80\x80\x80"), "\\xf5\\x80\\x80\\x80");
}

TEST(Printable, long_names_are_cut_between_characters) {
  EXPECT_EQ(printable_name(std::string(5000, 'x')), std::string(120, 'x') + "...");
  EXPECT_EQ(printable_name(std::string(119, 'x') + "ü" + "y"), std::string(119, 'x') + "...");
  EXPECT_EQ(printable_name(std::string(118, 'x') + "ü"), std::string(118, 'x') + "ü");
}

}  // namespace
}  // namespace sluice
