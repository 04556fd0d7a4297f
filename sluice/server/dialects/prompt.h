#pragma once

#include <string>
#include <variant>
#include <vector>

#include "sluice/server/ask.h"

namespace sluice::server {

/// A prompt: a string, token ids, or an array that holds one of these. Throws Refusal naming `path`.
std::variant<std::string, std::vector<text::Token>> read_prompt(const Json& value,
                                                                const std::string& path);

}  // namespace sluice::server
