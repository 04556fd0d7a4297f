#include "sluice/server/answers/tool_calls.h"

#include <array>
#include <utility>

#include "sluice/server/answers/call_values.h"
#include "sluice/server/answers/literal_calls.h"
#include "sluice/server/answers/tagged_calls.h"

namespace sluice::server {
namespace {

/// Arguments are an object, or the text of one.
std::optional<std::string> arguments_of(const CallJson& call) {
  for (const char* const name : {"arguments", "parameters"}) {
    const auto found = call.find(name);
    if (found == call.end() || found->is_null()) continue;
    const CallJson object = found->is_string() ? parse_json(found->get<std::string>()) : *found;
    if (!object.is_object()) return std::nullopt;
    return object.dump(-1, ' ', false, CallJson::error_handler_t::replace);
  }
  return "{}";
}

std::optional<ToolCall> call_of(const CallJson& json) {
  if (!json.is_object()) return std::nullopt;
  // OpenAI's own shape comes too: {"type": "function", "function": {...}}.
  const auto function = json.find("function");
  const CallJson& call = function != json.end() && function->is_object() ? *function : json;
  const auto name = call.find("name");
  if (name == call.end() || !name->is_string() || name->get<std::string>().empty())
    return std::nullopt;
  auto arguments = arguments_of(call);
  if (!arguments) return std::nullopt;
  return ToolCall{name->get<std::string>(), std::move(*arguments)};
}

Calls calls_of(const CallJson& json) {
  std::vector<ToolCall> calls;
  for (const CallJson& one : json.is_array() ? json : CallJson::array({json})) {
    auto call = call_of(one);
    if (!call) return std::nullopt;
    calls.push_back(std::move(*call));
  }
  if (calls.empty()) return std::nullopt;
  return calls;
}

Calls parse_json_calls(std::string_view body, const TextArguments& /*texts*/) {
  return calls_of(parse_json(trimmed(body)));
}

Calls parse_tagged(std::string_view body, const TextArguments& texts) {
  body = trimmed(body);
  if (body.starts_with('{') || body.starts_with('[')) return parse_json_calls(body, texts);
  if (body.starts_with("<function=")) return parse_coder_call(body, texts);
  return parse_glm_call(body, texts);
}

Calls parse_longcat(std::string_view body, const TextArguments& texts) {
  return trimmed(body).starts_with('{') ? parse_json_calls(body, texts)
                                        : parse_longcat_call(body, texts);
}

Calls parse_mistral(std::string_view body, const TextArguments& texts) {
  body = trimmed(body);
  if (body.starts_with('[')) return parse_json_calls(body, texts);
  const size_t object = std::min(body.find('{'), body.size());
  std::string_view name = body.substr(0, object);
  for (const std::string_view mark : {"[ARGS]", "[CALL_ID]"})
    name = name.substr(0, name.find(mark));
  name = trimmed(name);
  const CallJson arguments = parse_json(body.substr(object));
  if (name.empty() || !arguments.is_object()) return std::nullopt;
  return std::vector{made_call(name, arguments)};
}

}  // namespace

bool is_text(const TextArguments& texts, std::string_view tool, std::string_view argument) {
  const auto found = texts.find(tool);
  return found != texts.end() && found->second.contains(argument);
}

const std::vector<CallFormat>& call_formats() {
  static const std::vector<CallFormat> formats{
      {"<tool_call>", "</tool_call>", parse_tagged, true},
      {"[TOOL_CALLS]", "", parse_mistral},
      {"<|python_tag|>", "", parse_json_calls},
      {"<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", parse_kimi_calls},
      {"<minimax:tool_call>", "</minimax:tool_call>", parse_minimax_calls},
      {"<|tool_call>", "<tool_call|>", parse_gemma_calls},
      {"<start_function_call>", "<end_function_call>", parse_function_gemma_calls},
      {"<|tool_call_start|>", "<|tool_call_end|>", parse_python_calls},
      {"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", parse_deepseek_calls},
      {"<｜DSML｜function_calls>", "</｜DSML｜function_calls>", parse_dsml_calls},
      {"<longcat_tool_call>", "</longcat_tool_call>", parse_longcat, true},
      {"<seed:tool_call>", "</seed:tool_call>", parse_coder_call},
  };
  return formats;
}

const CallFormat& bare_call_format() {
  static const CallFormat format{"", "", parse_json_calls};
  return format;
}

const std::vector<std::string_view>& inner_call_marks() {
  static const std::vector<std::string_view> marks{
      "[ARGS]",
      "[CALL_ID]",
      "<|tool_call_begin|>",
      "<|tool_call_argument_begin|>",
      "<|tool_call_end|>",
      "<|\"|>",
      "<escape>",
      "<｜tool▁call▁begin｜>",
      "<｜tool▁sep｜>",
      "<｜tool▁call▁end｜>",
      "｜DSML｜",
      "<arg_key>",
      "</arg_key>",
      "<arg_value>",
      "</arg_value>",
      "<longcat_arg_key>",
      "</longcat_arg_key>",
      "<longcat_arg_value>",
      "</longcat_arg_value>",
  };
  return marks;
}

}  // namespace sluice::server
