#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace sluice::cli {

/// The reader of stdout went away (`sluice list | head -1`): not an error, the program just ends.
struct BrokenPipe {};

/// Writes to stdout, unbuffered. Throws BrokenPipe, or Error(io) when the output cannot be written.
void print(std::string_view text);

/// Prints one JSON value on one line. Bytes that are not UTF-8 become U+FFFD.
void print_json(const nlohmann::json& value);

/// Writes "sluice: TEXT" as one line to stderr. Never throws.
void warn(std::string_view text);

/// Writes TEXT as one line to stderr: progress and statistics. Never throws.
void note(std::string_view text);

/// Text from a model, a file name or the network made safe for a terminal: control characters,
/// bytes that are not UTF-8 and bidirectional overrides become \n, \x1b, \u202e and so on.
std::string printable(std::string_view text);

/// printable() for running text: line feeds and tabs stay.
std::string printable_text(std::string_view text);

}  // namespace sluice::cli
