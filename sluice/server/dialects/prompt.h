#pragma once

#include <string>
#include <variant>
#include <vector>

#include "sluice/server/ask.h"

namespace sluice::server {

/// Prompts, at least one: a string, token ids, or an array of such. Throws Refusal naming `path`.
std::vector<TextPrompt::Given> read_prompts(const Json& value, const std::string& path,
                                            size_t most);
/// The only one.
TextPrompt::Given read_prompt(const Json& value, const std::string& path);

}  // namespace sluice::server
