#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "sluice/text/tokenizer.h"

namespace sluice::cli {

/// -p,--prompt and --file, of which a command line must have one.
void add_text_options(CLI::App& command, std::string& text, std::string& file);

/// The whole of a file. Throws Error(io), also for a directory; Error(bad_request) above 1 GB.
std::string read_file(const std::string& path);

/// The same, or all of stdin for "-".
std::string read_text(const std::string& path);

/// "1,2,3", or "@FILE" with such a list in it. Throws Error(bad_request).
std::vector<text::Token> parse_tokens(const std::string& text);

}  // namespace sluice::cli
