#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// Text from a model, a file or the network made safe for a terminal and for one line: control characters
/// (C0, DEL, C1), marks that reorder the text around them and bytes that are not UTF-8 become \n, \x1b,
/// \u202e and so on. The result is UTF-8.
std::string printable(std::string_view text);

/// printable() for running text: line feeds and tabs stay.
std::string printable_text(std::string_view text);

/// printable() for a name in a message: of more than 120 bytes the first, at most 120, and "...".
std::string printable_name(std::string_view name);

}  // namespace sluice
