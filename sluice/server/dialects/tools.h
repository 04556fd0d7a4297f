#pragma once

#include <string>
#include <string_view>

#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"

namespace sluice::server {

/// OpenAI's tools, tool_choice (in every form that clients have for it) and parallel_tool_calls. Tools that only
/// OpenAI's servers could run are left out, with a warning.
void read_openai_tools(Fields& body, Ask::Chat& chat, std::vector<std::string>& warnings,
                       const Limits& limits);

/// A tool's name; throws Refusal unless it has 1 to 256 letters, digits and any of _.:/-
const std::string& checked_tool_name(const Json& value, const std::string& path);
/// A function's JSON schema, an object; null where it is absent. Throws Refusal when it is too large.
const Json* read_schema(Fields& fields, std::string_view name, const Limits& limits);
/// Throws Refusal when the choice names a tool that is not there, or demands a call where there are none.
void check_tool_choice(const Ask::Chat& chat, const std::string& path);
/// Leaves only the tools with these names.
void keep_tools(Json& tools, const std::vector<std::string>& names);

/// A function in its flat form, {"type", "name", "description", "parameters", "strict"}, or what stands inside the
/// nested one.
Json read_function_tool(Fields& function, const Limits& limits);
/// tool_choice, checked against chat.tools, and parallel_tool_calls.
void read_tool_choice(Fields& body, Ask::Chat& chat, const Limits& limits);

/// A freeform tool as a function with one string, "input"; the model reads the grammar in its description.
Json tool_of_custom(Fields& custom, const Limits& limits);

}  // namespace sluice::server
