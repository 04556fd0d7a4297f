#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <string_view>

namespace sluice::io {

/// Where a JSON text asks for more than is built of it.
struct JsonExcess {
  enum class What { depth, keys, values };
  What what = What::depth;
  size_t at = 0;  ///< the offset of the byte that is too much
};

/// How much is built of a JSON text at most.
struct JsonBounds {
  size_t depth = 64;
  size_t keys = std::numeric_limits<size_t>::max();    ///< of one object
  size_t values = std::numeric_limits<size_t>::max();  ///< of all objects and arrays
};

/// The first byte that opens a level, gives an object a key, or begins a value too many; nullopt where there is none.
/// To be asked before a text is parsed: the parser has no limit for levels, which destroying what it built
/// recurses over, and in an object that keeps its order each key is compared with all before it. Up to the text's first
/// error brackets and strings are told apart as the parser does; it stops there anyway.
std::optional<JsonExcess> find_excess(std::string_view text, const JsonBounds& limits);

}  // namespace sluice::io
