#include "sluice/server/answers/tagged_calls.h"

#include <algorithm>

#include "sluice/server/answers/call_values.h"

namespace sluice::server {
namespace {

constexpr auto npos = std::string_view::npos;

Calls parse_named_pairs(std::string_view body, const PairMarks& marks, const TextArguments& texts) {
  const size_t first = std::min(body.find(marks.key_begin), body.size());
  const std::string_view name = trimmed(body.substr(0, first));
  if (name.empty() || name.find_first_of(" \n<{\"") != npos) return std::nullopt;
  body.remove_prefix(first);
  const auto arguments = take_pairs(body, marks, name, texts);
  if (!arguments || !trimmed(body).empty()) return std::nullopt;
  return std::vector{made_call(name, *arguments)};
}

std::string_view unquoted(std::string_view name) {
  name = trimmed(name);
  const bool quoted = name.size() > 1 && name.front() == name.back() &&
                      (name.front() == '"' || name.front() == '\'');
  return quoted ? name.substr(1, name.size() - 2) : name;
}

/// How calls as XML elements are spelled.
struct InvokeMarks {
  std::string_view begin, end, parameter, parameter_end;
};

/// name="KEY" string="true": the second says what the schema may not.
CallJson invoked_value(std::string_view attributes, std::string_view value, std::string_view tool,
                       std::string_view key, const TextArguments& texts) {
  const bool says_text = attributes.find("string=\"true\"") != npos;
  return loose_value(value, says_text || is_text(texts, tool, key));
}

Calls parse_invokes(std::string_view body, const InvokeMarks& marks, const TextArguments& texts) {
  std::vector<ToolCall> calls;
  while (const auto head = take_between(body, marks.begin, ">")) {
    auto inner = take_between(body, "", marks.end);
    const std::string_view name = unquoted(*head);
    if (!inner || name.empty()) return std::nullopt;
    CallJson arguments = CallJson::object();
    while (const auto attributes = take_between(*inner, marks.parameter, ">")) {
      const auto value = take_between(*inner, "", marks.parameter_end);
      if (!value) return std::nullopt;
      const std::string_view key = unquoted(attributes->substr(0, attributes->find(" string=")));
      arguments[std::string(key)] = invoked_value(*attributes, *value, name, key, texts);
    }
    if (!trimmed(*inner).empty()) return std::nullopt;
    calls.push_back(made_call(name, arguments));
  }
  if (calls.empty() || !trimmed(body).empty()) return std::nullopt;
  return calls;
}

/// NAME, or functions.NAME:0
std::string_view kimi_name(std::string_view id) {
  id = trimmed(id);
  if (id.starts_with("functions.")) id.remove_prefix(10);
  const size_t colon = id.rfind(':');
  const bool numbered = colon != npos && id.find_first_not_of("0123456789", colon + 1) == npos;
  return numbered ? id.substr(0, colon) : id;
}

}  // namespace

Calls parse_coder_call(std::string_view body, const TextArguments& texts) {
  const auto name = take_between(body, "<function=", ">");
  if (!name || name->empty()) return std::nullopt;
  const auto arguments = take_pairs(body, {"<parameter=", ">", "", "</parameter>"}, *name, texts);
  if (!arguments || trimmed(body) != "</function>") return std::nullopt;
  return std::vector{made_call(*name, *arguments)};
}

Calls parse_glm_call(std::string_view body, const TextArguments& texts) {
  return parse_named_pairs(body, {"<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"}, texts);
}

Calls parse_longcat_call(std::string_view body, const TextArguments& texts) {
  return parse_named_pairs(
      body,
      {"<longcat_arg_key>", "</longcat_arg_key>", "<longcat_arg_value>", "</longcat_arg_value>"},
      texts);
}

Calls parse_minimax_calls(std::string_view body, const TextArguments& texts) {
  return parse_invokes(body, {"<invoke name=", "</invoke>", "<parameter name=", "</parameter>"},
                       texts);
}

Calls parse_dsml_calls(std::string_view body, const TextArguments& texts) {
  return parse_invokes(body,
                       {"<｜DSML｜invoke name=", "</｜DSML｜invoke>",
                        "<｜DSML｜parameter name=", "</｜DSML｜parameter>"},
                       texts);
}

Calls parse_kimi_calls(std::string_view body, const TextArguments& /*texts*/) {
  std::vector<ToolCall> calls;
  while (const auto id =
             take_between(body, "<|tool_call_begin|>", "<|tool_call_argument_begin|>")) {
    const auto json = take_between(body, "", "<|tool_call_end|>");
    const CallJson arguments = parse_json(trimmed(json.value_or("")));
    if (!arguments.is_object() || kimi_name(*id).empty()) return std::nullopt;
    calls.push_back(made_call(kimi_name(*id), arguments));
  }
  if (calls.empty() || !trimmed(body).empty()) return std::nullopt;
  return calls;
}

Calls parse_deepseek_calls(std::string_view body, const TextArguments& /*texts*/) {
  std::vector<ToolCall> calls;
  while (const auto first = take_between(body, "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>")) {
    auto rest = take_between(body, "", "<｜tool▁call▁end｜>");
    if (!rest) return std::nullopt;
    std::string_view name = trimmed(*first), json = trimmed(*rest);
    if (const size_t fence = json.find("```json"); name == "function" && fence != npos) {
      name = trimmed(json.substr(0, fence));
      json.remove_prefix(fence + 7);
      json = trimmed(json.substr(0, json.rfind("```")));
    }
    const CallJson arguments = parse_json(json);
    if (!arguments.is_object() || name.empty()) return std::nullopt;
    calls.push_back(made_call(name, arguments));
  }
  if (calls.empty() || !trimmed(body).empty()) return std::nullopt;
  return calls;
}

}  // namespace sluice::server
