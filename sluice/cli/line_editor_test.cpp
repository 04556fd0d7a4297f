#include "sluice/cli/line_editor.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::cli {
namespace {

using Kind = TypedLine::Kind;

/// Every entry of the given lines.
std::vector<std::string> entries(const std::vector<TypedLine>& lines) {
  size_t next = 0;
  std::vector<std::string> found;
  const auto next_line = [&](bool) {
    return next < lines.size() ? lines[next++] : TypedLine{Kind::end, ""};
  };
  while (auto entry = read_entry(next_line)) found.push_back(*entry);
  return found;
}

std::vector<std::string> entries_of(const std::vector<std::string>& lines) {
  std::vector<TypedLine> typed;
  for (const std::string& line : lines) typed.push_back({Kind::text, line});
  return entries(typed);
}

using Entries = std::vector<std::string>;

TEST(LineEditor, a_line_is_an_entry) {
  EXPECT_EQ(entries_of({"one", "", "two"}), (Entries{"one", "", "two"}));
}

TEST(LineEditor, a_trailing_backslash_continues_on_the_next_line) {
  EXPECT_EQ(entries_of({"one\\", "two\\", "three", "four"}), (Entries{"one\ntwo\nthree", "four"}));
}

TEST(LineEditor, three_quotes_enclose_lines_as_they_are) {
  EXPECT_EQ(entries_of({"\"\"\"", "a", "", "  b\\", "\"\"\"", "c"}),
            (Entries{"a\n\n  b\\\n", "c"}));
  EXPECT_EQ(entries_of({"\"\"\"a", "b\"\"\"", "c"}), (Entries{"a\nb", "c"}));
  EXPECT_EQ(entries_of({"\"\"\"a\"\"\"", "c"}), (Entries{"a", "c"}));
}

TEST(LineEditor, an_unfinished_entry_ends_with_the_input) {
  EXPECT_EQ(entries_of({"\"\"\"a", "b"}), (Entries{"a\nb"}));
  EXPECT_EQ(entries_of({"a\\"}), (Entries{"a"}));
}

TEST(LineEditor, cancelling_drops_all_lines_of_the_entry) {
  EXPECT_EQ(
      entries(
          {{Kind::text, "\"\"\"a"}, {Kind::text, "b"}, {Kind::cancelled, ""}, {Kind::text, "c"}}),
      (Entries{"", "c"}));
  EXPECT_EQ(entries({{Kind::cancelled, ""}, {Kind::text, "c"}}), (Entries{"", "c"}));
}

}  // namespace
}  // namespace sluice::cli
