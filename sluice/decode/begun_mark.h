#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string_view>

namespace sluice::decode {

/// The length of the longest end of `text` that begins one of `marks`, texts that are not empty: it waits for what comes next.
template <typename Marks = std::initializer_list<std::string_view>>
size_t begun_mark(std::string_view text, const Marks& marks) {
  size_t keep = 0;
  for (const std::string_view mark : marks) {
    for (size_t n = std::min(mark.size() - 1, text.size()); n > keep; --n) {
      if (text.ends_with(mark.substr(0, n))) keep = n;
    }
  }
  return keep;
}

}  // namespace sluice::decode
