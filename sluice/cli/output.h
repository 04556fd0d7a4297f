#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace sluice::cli {

/// The reader of stdout went away (`sluice list | head -1`): not an error, the program just ends.
struct BrokenPipe {};

/// Writes to stdout, unbuffered, as it is. Throws BrokenPipe, or Error(io) when the output cannot be written.
void print(std::string_view text);

/// Prints running text of a model or a user: the text itself, but printable_text() of it on a terminal.
void print_text(std::string_view text);

/// Prints one JSON value on one line. Bytes that are not UTF-8 become U+FFFD; on a terminal what is not ASCII is
/// written as \uXXXX.
void print_json(const nlohmann::json& value);

/// Writes printable(TEXT) as one line to stderr: progress and statistics. Never throws but for want of memory.
void note(std::string_view text);

/// The same for "sluice: TEXT": warnings and errors.
void warn(std::string_view text);

}  // namespace sluice::cli
