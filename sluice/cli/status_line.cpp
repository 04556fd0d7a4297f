#include "sluice/cli/status_line.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "sluice/cli/output.h"
#include "sluice/cli/signals.h"

namespace sluice::cli {
namespace {

constexpr int kFewestRows = 5;  // below that the row is worth more as text

winsize terminal_size() {
  winsize size{};
  ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
  return size;
}

}  // namespace

StatusLine::StatusLine() {
  const char* term = std::getenv("TERM");
  active_ = isatty(STDOUT_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb" &&
            terminal_size().ws_row >= kFewestRows;
  if (active_) reserve(terminal_size().ws_row);
}

StatusLine::~StatusLine() {
  if (!active_) return;
  try {
    set_terminal_reset("");
    print(reset());
  } catch (...) {  // the terminal is gone
  }
}

void StatusLine::reserve(int rows) {
  // A line feed first, so that the cursor's row is above the reserved one; setting the region moves the cursor.
  print(fmt::format("\n\033[A\0337\033[1;{}r\0338", rows - 1));
  rows_ = rows;
  set_terminal_reset(reset());
}

std::string StatusLine::reset() const {
  return fmt::format("\0337\033[r\033[{};1H\033[2K\0338", rows_);
}

void StatusLine::show(const std::string& text) {
  if (!active_) return;
  const winsize size = terminal_size();
  if (size.ws_row < kFewestRows) return;
  if (size.ws_row != rows_) reserve(size.ws_row);
  print(fmt::format("\0337\033[{};1H\033[2K\033[7m{}\033[0m\0338", rows_,
                    text.substr(0, static_cast<size_t>(size.ws_col))));
}

}  // namespace sluice::cli
