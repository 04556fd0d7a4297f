#pragma once

#include <string>
#include <vector>

namespace sluice::decode {

/// Finds stop strings in text that arrives in pieces. Text that could be the beginning of one is held
/// back until that is decided; a stop string itself is never given out.
class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops);

  /// Returns what may be shown now. After found() nothing more comes.
  std::string push(const std::string& piece);
  /// What was held back, at the end of the text.
  std::string finish();
  bool found() const { return !found_.empty(); }
  /// Which one ended it; empty: none yet.
  const std::string& which() const { return found_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  std::string found_;
};

}  // namespace sluice::decode
