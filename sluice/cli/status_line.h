#pragma once

#include <string>

namespace sluice::cli {

/// The terminal's last row, kept for a status while everything else scrolls above it (DECSTBM). Does
/// nothing when stdout is no terminal. The terminal is put back when it dies, or the program by a signal.
class StatusLine {
 public:
  StatusLine();
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  /// Shows `text`, cut to the terminal's width; follows the terminal's size.
  void show(const std::string& text);

 private:
  void reserve(int rows);
  /// Has everything scroll again, and clears the row.
  std::string reset() const;
  bool active_ = false;
  int rows_ = 0;
};

}  // namespace sluice::cli
