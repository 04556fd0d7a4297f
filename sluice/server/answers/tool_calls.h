#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::server {

struct ToolCall {
  std::string name = {};
  std::string arguments = {};  ///< a JSON object
  bool operator==(const ToolCall&) const = default;
};

/// How a model writes its calls.
struct CallFormat {
  std::string_view begin;  ///< the marker before them; empty: an answer that begins with '{' is one
  std::string_view end;    ///< the one behind; empty: they end where their JSON does
  /// What stands between. nullopt where that is no call.
  std::optional<std::vector<ToolCall>> (*parse)(std::string_view body);
};

/// All formats with markers: which one a model uses shows in what it writes.
///   <tool_call>{"name": ..., "arguments": {...}}</tool_call>                 Hermes, Qwen
///   <tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>   Qwen3 Coder
///   <tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value></tool_call>       GLM 4
///   [TOOL_CALLS][{"name": ..., "arguments": {...}}, ...]                     Mistral
///   [TOOL_CALLS]NAME[ARGS]{...}                                              Mistral, later
///   <|python_tag|>{"name": ..., "parameters": {...}}                         Llama 3
const std::vector<CallFormat>& call_formats();

/// {"name": ..., "parameters": {...}} as the whole answer: Llama 3. For models whose templates ask for it.
const CallFormat& bare_call_format();

}  // namespace sluice::server
