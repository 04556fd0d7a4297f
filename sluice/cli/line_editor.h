#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace sluice::cli {

/// One physical line as it was typed, or why there is none.
struct TypedLine {
  enum class Kind { text, cancelled, end } kind = Kind::text;
  std::string text;
};

/// Puts an entry together from lines: one line; lines that end in a backslash and the line after them;
/// or everything from a line that starts with """ to one that ends with """. next_line(first) gets the
/// lines. nullopt at the end of the input; "" when the entry was cancelled. What an unfinished entry has
/// at the end of the input is an entry.
std::optional<std::string> read_entry(const std::function<TypedLine(bool first)>& next_line);

/// Reads what the user types at a prompt. On a terminal: editing (libedit, Emacs keys), history kept
/// in a file, Ctrl-C drops the entry, Ctrl-D on an empty line ends. When stdin is no terminal: lines as they
/// come, no prompt, no history. Entries of several lines are the same in both (read_entry).
class LineEditor {
 public:
  /// A history that cannot be read or written is no error: it is then not kept.
  explicit LineEditor(std::filesystem::path history_file);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// One entry without its last line feed; "" also when Ctrl-C dropped it; nullopt at the end.
  std::optional<std::string> read(const std::string& prompt);

 private:
  struct Terminal;
  std::unique_ptr<Terminal> terminal_;  // null when stdin is none
};

}  // namespace sluice::cli
