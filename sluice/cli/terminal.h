#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/bytes.h"

namespace sluice::cli {

bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();

/// Columns of the terminal behind stderr; 80 when it is none or does not say.
int terminal_width();

/// Whether stderr may show colour: it is a terminal, NO_COLOR is unset or empty and TERM is not "dumb".
bool stderr_has_color();

enum class Style { dim, bold, red, green };

/// The text in a style on stderr; unchanged where there is no colour.
std::string styled(Style style, std::string_view text);

/// One file of a transfer.
struct TransferFile {
  std::string name;
  Bytes bytes, done;
};

/// Bytes per second as the last few seconds show it.
class RateMeter {
 public:
  using Time = std::chrono::steady_clock::time_point;
  /// `total`: bytes so far. nullopt until a second of history is there.
  std::optional<double> update(Bytes total, Time now);

 private:
  struct Sample {
    Time time;
    Bytes total;
  };
  std::vector<Sample> samples_;
};

/// "1:02:03", "4:05".
std::string format_duration(std::chrono::seconds duration);

/// The lines of a progress display, each at most `width` columns: one for every file under way, then the
/// total with rate and time left. File names are made printable and cut.
std::vector<std::string> progress_lines(const std::vector<TransferFile>& files,
                                        std::optional<double> bytes_per_second, int width);

/// Shows a transfer on stderr: redrawn in place on a terminal, else a plain line every 10 s.
/// Draws nothing when quiet.
class ProgressDisplay {
 public:
  explicit ProgressDisplay(bool quiet);
  ~ProgressDisplay();
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  /// Redraws when enough time has gone by; cheap otherwise.
  void update(const std::vector<TransferFile>& files);
  /// Writes a line that stays, also when quiet; what is drawn goes on below it.
  void above(std::string_view text);

 private:
  void erase();

  const bool quiet_;
  const bool in_place_;
  RateMeter rate_;
  std::chrono::steady_clock::time_point next_{};
  size_t lines_drawn_ = 0;
};

}  // namespace sluice::cli
