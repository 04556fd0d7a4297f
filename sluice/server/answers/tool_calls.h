#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::server {

struct ToolCall {
  std::string name = {};
  std::string arguments = {};  ///< a JSON object
  bool operator==(const ToolCall&) const = default;
};

/// Of each tool the arguments that are strings: "7" stays one where a model writes it without quotes.
using TextArguments = std::map<std::string, std::set<std::string, std::less<>>, std::less<>>;
bool is_text(const TextArguments& texts, std::string_view tool, std::string_view argument);

/// How a model writes its calls.
struct CallFormat {
  std::string_view begin;  ///< the marker before them; empty: an answer that begins with '{' is one
  std::string_view end;    ///< the one behind; empty: they end where their JSON does
  /// What stands between. nullopt where that is no call.
  std::optional<std::vector<ToolCall>> (*parse)(std::string_view body, const TextArguments& texts);
  bool has_json = false;  ///< where they are JSON, its end is theirs, whatever it holds
};

/// All formats with markers: which one a model uses shows in what it writes.
///   <tool_call>{"name": ..., "arguments": {...}}</tool_call>                 Hermes, Qwen
///   <tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>   Qwen3 Coder
///   <tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value></tool_call>       GLM 4
///   [TOOL_CALLS][{"name": ..., "arguments": {...}}, ...]                     Mistral
///   [TOOL_CALLS]NAME[ARGS]{...}                                              Mistral, later
///   <|python_tag|>{"name": ..., "parameters": {...}}                         Llama 3
///   <|tool_calls_section_begin|><|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>{...}...  Kimi K2
///   <minimax:tool_call><invoke name="NAME"><parameter name="KEY">VALUE</parameter></invoke>...           MiniMax M2
///   <|tool_call>call:NAME{KEY:<|"|>TEXT<|"|>}<tool_call|>                    Gemma 4
///   <|tool_call_start|>[NAME(KEY="VALUE")]<|tool_call_end|>                  LFM2
/// and DeepSeek's two, those of LongCat and Seed-OSS, and FunctionGemma's.
const std::vector<CallFormat>& call_formats();

/// {"name": ..., "parameters": {...}} as the whole answer: Llama 3. For models whose templates ask for it.
const CallFormat& bare_call_format();

/// What stands in calls, may be a control token, and is no format's begin or end.
const std::vector<std::string_view>& inner_call_marks();

}  // namespace sluice::server
