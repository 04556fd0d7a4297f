#pragma once

#include <string>
#include <string_view>

namespace sluice::text {

/// Turns bytes that come in pieces into UTF-8 text: a character is given out when its last byte has
/// come. What can never become a character turns into U+FFFD, one for each maximal part of a character
/// (Unicode 15, section 3.9, "U+FFFD Substitution of Maximal Subparts"; Rust's String::from_utf8_lossy).
/// Where the pieces are cut makes no difference.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);
  std::string finish();  ///< the text of an unfinished character, if one is left

 private:
  std::string pending_;  // a part of one character
};

}  // namespace sluice::text
