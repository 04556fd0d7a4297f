#include "sluice/cli/line_editor.h"

#include <histedit.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <string_view>

#include "sluice/base/error.h"
#include "sluice/cli/terminal.h"

namespace sluice::cli {
namespace {

constexpr std::string_view kFence = "\"\"\"";
constexpr int kHistoryEntries = 1000;
constexpr const char* kContinuationPrompt = "... ";

TypedLine read_plain_line() {
  TypedLine line;
  if (!std::getline(std::cin, line.text)) line.kind = TypedLine::Kind::end;
  if (std::cin.bad()) fail(ErrorKind::io, "stdin: cannot be read");
  return line;
}

}  // namespace

std::optional<std::string> read_entry(const std::function<TypedLine(bool first)>& next_line) {
  TypedLine line = next_line(true);
  if (line.kind == TypedLine::Kind::end) return std::nullopt;
  if (line.kind == TypedLine::Kind::cancelled) return std::string();
  const bool fenced = line.text.starts_with(kFence);
  std::string_view text = line.text;
  if (fenced) text.remove_prefix(kFence.size());
  std::string entry;
  while (true) {
    const std::string_view closing = fenced ? kFence : std::string_view("\\");
    const bool has_closing = text.ends_with(closing);
    if (has_closing) text.remove_suffix(closing.size());
    entry.append(text);
    if (has_closing == fenced) return entry;
    line = next_line(false);
    if (line.kind == TypedLine::Kind::cancelled) return std::string();
    if (line.kind == TypedLine::Kind::end) return entry;
    // The line feed after an opening fence that stands alone is no part of the text.
    if (!fenced || !entry.empty()) entry += '\n';
    text = line.text;
  }
}

/// libedit's handles and what its callbacks need.
struct LineEditor::Terminal {
  std::filesystem::path history_file;
  History* history = nullptr;
  EditLine* editor = nullptr;
  std::string prompt;
  bool cancelled = false;

  explicit Terminal(std::filesystem::path file)
      : history_file(std::move(file)), history(history_init()) {
    HistEvent event{};
    ::history(history, &event, H_SETSIZE, kHistoryEntries);
    ::history(history, &event, H_SETUNIQUE, 1);
    if (!history_file.empty()) ::history(history, &event, H_LOAD, history_file.c_str());
    editor = el_init("sluice", stdin, stdout, stderr);
    el_set(editor, EL_CLIENTDATA, this);
    el_set(editor, EL_PROMPT, &Terminal::show_prompt);
    el_set(editor, EL_HIST, &::history, history);
    el_set(editor, EL_EDITOR, "emacs");
    el_set(editor, EL_SIGNAL, 1);  // follow the window's size
    // Ctrl-C and Ctrl-Z are keys while a line is edited, no signals. ("intr=" alone does not take.)
    el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
    el_set(editor, EL_ADDFN, "sluice-cancel", "Drop the line", &Terminal::cancel);
    el_set(editor, EL_BIND, "^C", "sluice-cancel", nullptr);
    el_set(editor, EL_ADDFN, "sluice-suspend", "Stop the program", &Terminal::suspend);
    el_set(editor, EL_BIND, "^Z", "sluice-suspend", nullptr);
    el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  }
  ~Terminal() {
    el_end(editor);
    history_end(history);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  static Terminal& of(EditLine* editor) {
    void* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return *static_cast<Terminal*>(self);
  }
  static char* show_prompt(EditLine* editor) { return of(editor).prompt.data(); }
  static unsigned char cancel(EditLine* editor, int) {
    of(editor).cancelled = true;
    return CC_NEWLINE;
  }

  static unsigned char suspend(EditLine*, int) {
    std::raise(SIGTSTP);  // libedit's handler puts the terminal back for the shell
    return CC_REFRESH;
  }

  TypedLine read_line(const std::string& with_prompt) {
    prompt = with_prompt;
    cancelled = false;
    int length = 0;
    errno = 0;
    const char* text = el_gets(editor, &length);
    // A signal that came from elsewhere, or as the last answer ended, is no end of input.
    if (cancelled || (text == nullptr && errno == EINTR)) {
      std::fputs("^C\n", stdout);
      std::fflush(stdout);
      return {TypedLine::Kind::cancelled, {}};
    }
    if (text == nullptr || length <= 0) {
      std::fputs("\n", stdout);  // what follows the program begins on a line of its own
      std::fflush(stdout);
      return {TypedLine::Kind::end, {}};
    }
    std::string_view line(text, static_cast<size_t>(length));
    if (line.ends_with('\n')) line.remove_suffix(1);
    return {TypedLine::Kind::text, std::string(line)};
  }

  void remember(const std::string& entry) {
    HistEvent event{};
    ::history(history, &event, H_ENTER, entry.c_str());
    if (history_file.empty()) return;
    std::error_code ignored;
    std::filesystem::create_directories(history_file.parent_path(), ignored);
    ::history(history, &event, H_SAVE, history_file.c_str());
  }
};

LineEditor::LineEditor(std::filesystem::path history_file) {
  if (stdin_is_terminal()) terminal_ = std::make_unique<Terminal>(std::move(history_file));
}

LineEditor::~LineEditor() = default;

std::optional<std::string> LineEditor::read(const std::string& prompt) {
  auto entry = read_entry([&](bool first) {
    if (!terminal_) return read_plain_line();
    return terminal_->read_line(first ? prompt : kContinuationPrompt);
  });
  if (terminal_ && entry && !entry->empty()) terminal_->remember(*entry);
  return entry;
}

}  // namespace sluice::cli
