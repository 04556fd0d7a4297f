#include "sluice/cli/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "sluice/base/printable.h"
#include "sluice/cli/output.h"

namespace sluice::cli {
namespace {

using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr seconds kRateWindow{5};
constexpr std::chrono::milliseconds kRedraw{100};
constexpr seconds kPlainLine{10};
constexpr int kBarWidth = 24;
constexpr int kNarrowest = 20;

void write_stderr(std::string_view text) {
  // Nothing useful is left to do when stderr is gone.
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, text.data(), text.size());
}

int percent(Bytes done, Bytes all) {
  return all.count == 0 ? 100
                        : static_cast<int>(static_cast<double>(done.count) /
                                           static_cast<double>(all.count) * 100);
}

std::string bar(Bytes done, Bytes all) {
  const int filled = percent(done, all) * kBarWidth / 100;
  return fmt::format("[{:=>{}}{: >{}}]", "", filled, "", kBarWidth - filled);
}

/// Cut at `width` characters, the end kept visible by "...". Text is ASCII where it matters: escapes
/// keep a name printable, and a character of several bytes is cut whole.
std::string cut(std::string text, size_t width) {
  size_t columns = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool starts_character = (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80;
    if (starts_character && columns++ == width) return text.substr(0, i);
  }
  return text;
}

TransferFile total_of(const std::vector<TransferFile>& files) {
  TransferFile total{fmt::format("{} files", files.size()), {}, {}};
  if (files.size() == 1) total.name = "1 file";
  for (const TransferFile& file : files) {
    total.bytes = total.bytes + file.bytes;
    total.done = total.done + file.done;
  }
  return total;
}

std::string line(const TransferFile& file, size_t name_width) {
  return fmt::format("{:{}} {} {:3}%  {:>7} / {}", cut(printable(file.name), name_width),
                     name_width, bar(file.done, file.bytes), percent(file.done, file.bytes),
                     to_string(file.done), to_string(file.bytes));
}

std::string rate_and_time_left(const TransferFile& total, std::optional<double> bytes_per_second) {
  if (!bytes_per_second) return "";
  std::string text =
      fmt::format("  {}/s", to_string(Bytes{static_cast<uint64_t>(*bytes_per_second)}));
  if (*bytes_per_second >= 1) {
    const double left =
        static_cast<double>(total.bytes.count - total.done.count) / *bytes_per_second;
    constexpr double kLongest = 100.0 * 3600;
    if (left < kLongest)
      text += fmt::format("  {} left", format_duration(seconds(std::llround(left))));
  }
  return text;
}

}  // namespace

bool stdin_is_terminal() { return ::isatty(STDIN_FILENO) == 1; }
bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) == 1; }
bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

int terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

bool stderr_has_color() {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && no_color[0] != '\0') return false;
  const char* term = std::getenv("TERM");
  return stderr_is_terminal() && term != nullptr && std::strcmp(term, "dumb") != 0;
}

std::string styled(Style style, std::string_view text) {
  if (!stderr_has_color()) return std::string(text);
  const int code = style == Style::dim    ? 2
                   : style == Style::bold ? 1
                   : style == Style::red  ? 31
                                          : 32;
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

std::optional<double> RateMeter::update(Bytes total, Time now) {
  samples_.push_back({now, total});
  // The newest sample that is older than the window stays, to measure from.
  const auto in_window = std::find_if(samples_.begin(), samples_.end(),
                                      [&](const Sample& s) { return s.time > now - kRateWindow; });
  if (in_window - samples_.begin() > 1) samples_.erase(samples_.begin(), in_window - 1);
  const std::chrono::duration<double> span = now - samples_.front().time;
  if (span < seconds(1) || total < samples_.front().total) return std::nullopt;
  return static_cast<double>(total.count - samples_.front().total.count) / span.count();
}

std::string format_duration(seconds duration) {
  const auto s = duration.count();
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

std::vector<std::string> progress_lines(const std::vector<TransferFile>& files,
                                        std::optional<double> bytes_per_second, int width) {
  const auto columns = static_cast<size_t>(std::max(width, kNarrowest));
  const size_t name_width =
      std::clamp<size_t>(columns - std::min<size_t>(columns, 80) + 12, 12, 40);
  std::vector<std::string> lines;
  for (const TransferFile& file : files) {
    const bool under_way = file.done.count > 0 && file.done < file.bytes;
    if (under_way) lines.push_back(cut(line(file, name_width), columns));
  }
  const TransferFile total = total_of(files);
  lines.push_back(
      cut(line(total, name_width) + rate_and_time_left(total, bytes_per_second), columns));
  return lines;
}

ProgressDisplay::ProgressDisplay(bool quiet) : quiet_(quiet), in_place_(stderr_is_terminal()) {}

ProgressDisplay::~ProgressDisplay() { erase(); }

void ProgressDisplay::erase() {
  if (lines_drawn_ > 0) write_stderr(fmt::format("\x1b[{}F\x1b[J", lines_drawn_));
  lines_drawn_ = 0;
}

void ProgressDisplay::above(std::string_view text) {
  if (lines_drawn_ > 0) next_ = {};  // drawn again at once
  erase();
  note(text);
}

void ProgressDisplay::update(const std::vector<TransferFile>& files) {
  const auto now = Clock::now();
  if (quiet_ || now < next_) return;
  next_ = now + (in_place_ ? std::chrono::duration_cast<Clock::duration>(kRedraw) : kPlainLine);
  const TransferFile total = total_of(files);
  const auto rate = rate_.update(total.done, now);
  if (!in_place_) {
    warn(fmt::format("{} of {} ({}%){}", to_string(total.done), to_string(total.bytes),
                     percent(total.done, total.bytes), rate_and_time_left(total, rate)));
    return;
  }
  std::string frame;
  const std::vector<std::string> lines = progress_lines(files, rate, terminal_width() - 1);
  for (const std::string& text : lines) frame += text + "\n";
  erase();
  write_stderr(frame);
  lines_drawn_ = lines.size();
}

}  // namespace sluice::cli
