#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "sluice/server/answers/tool_calls.h"

// Calls whose arguments stand between tags (tool_calls.h shows them).
namespace sluice::server {

using Calls = std::optional<std::vector<ToolCall>>;

/// <function=NAME><parameter=KEY>VALUE</parameter></function>
Calls parse_coder_call(std::string_view body, const TextArguments& texts);
/// NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value>
Calls parse_glm_call(std::string_view body, const TextArguments& texts);
/// The same with <longcat_arg_key> and so on, or JSON.
Calls parse_longcat_call(std::string_view body, const TextArguments& texts);
/// <invoke name="NAME"><parameter name="KEY">VALUE</parameter></invoke>...
Calls parse_minimax_calls(std::string_view body, const TextArguments& texts);
/// <｜DSML｜invoke name="NAME"><｜DSML｜parameter name="KEY" string="true">VALUE</｜DSML｜parameter></｜DSML｜invoke>...
Calls parse_dsml_calls(std::string_view body, const TextArguments& texts);
/// <|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>{...}<|tool_call_end|>...
Calls parse_kimi_calls(std::string_view body, const TextArguments& texts);
/// <｜tool▁call▁begin｜>NAME<｜tool▁sep｜>{...}<｜tool▁call▁end｜>..., or function<｜tool▁sep｜>NAME and {...} fenced
Calls parse_deepseek_calls(std::string_view body, const TextArguments& texts);

}  // namespace sluice::server
