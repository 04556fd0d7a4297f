#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <string_view>

namespace sluice::io {

/// Where a JSON text asks for more than is built of it.
struct JsonExcess {
  enum class What { depth, keys };
  What what = What::depth;
  size_t at = 0;  ///< the offset of the byte that is too much
};

/// The first byte that opens a level beyond `depth`, or that gives an object more than `keys` keys; nullopt where there
/// is none. To be asked before a text is parsed: the parser has no limit for levels, which destroying what it built
/// recurses over, and in an object that keeps its order each key is compared with all before it. Up to the text's first
/// error brackets and strings are told apart as the parser does; it stops there anyway.
std::optional<JsonExcess> find_excess(std::string_view text, size_t depth,
                                      size_t keys = std::numeric_limits<size_t>::max());

}  // namespace sluice::io
