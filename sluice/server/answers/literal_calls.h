#pragma once

#include <string_view>

#include "sluice/server/answers/tagged_calls.h"

// Calls whose arguments are literals of a language other than JSON (tool_calls.h shows them).
namespace sluice::server {

/// call:NAME{KEY:<|"|>TEXT<|"|>,KEY:7}..., where keys and numbers have no quotes
Calls parse_gemma_calls(std::string_view body, const TextArguments& texts);
/// The same with <escape>TEXT<escape>
Calls parse_function_gemma_calls(std::string_view body, const TextArguments& texts);
/// [NAME(KEY="TEXT", KEY=7), ...], as Python has it
Calls parse_python_calls(std::string_view body, const TextArguments& texts);

}  // namespace sluice::server
