#include "sluice/server/answers/tool_calls.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "sluice/io/formats/json_excess.h"

namespace sluice::server {
namespace {

using Json = nlohmann::ordered_json;
using Calls = std::optional<std::vector<ToolCall>>;

constexpr size_t kDeepest = 100;  // writing JSON recurses
constexpr std::string_view kSpace = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

/// One whole value; discarded where it is none.
Json parse_json(std::string_view text) {
  if (io::find_excess(text, kDeepest)) return Json(Json::value_t::discarded);
  return Json::parse(text, nullptr, false);
}

std::string written(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Arguments are an object, or the text of one.
std::optional<std::string> arguments_of(const Json& call) {
  for (const char* const name : {"arguments", "parameters"}) {
    const auto found = call.find(name);
    if (found == call.end() || found->is_null()) continue;
    const Json object = found->is_string() ? parse_json(found->get<std::string>()) : *found;
    if (!object.is_object()) return std::nullopt;
    return written(object);
  }
  return "{}";
}

std::optional<ToolCall> call_of(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  // OpenAI's own shape comes too: {"type": "function", "function": {...}}.
  const auto function = json.find("function");
  const Json& call = function != json.end() && function->is_object() ? *function : json;
  const auto name = call.find("name");
  if (name == call.end() || !name->is_string() || name->get<std::string>().empty())
    return std::nullopt;
  auto arguments = arguments_of(call);
  if (!arguments) return std::nullopt;
  return ToolCall{name->get<std::string>(), std::move(*arguments)};
}

Calls calls_of(const Json& json) {
  std::vector<ToolCall> calls;
  for (const Json& one : json.is_array() ? json : Json::array({json})) {
    auto call = call_of(one);
    if (!call) return std::nullopt;
    calls.push_back(std::move(*call));
  }
  if (calls.empty()) return std::nullopt;
  return calls;
}

Calls parse_json_calls(std::string_view body) { return calls_of(parse_json(trimmed(body))); }

/// What stands between `begin` and `end` at the front of `rest`, and takes it away with them.
std::optional<std::string_view> take_between(std::string_view& rest, std::string_view begin,
                                             std::string_view end) {
  rest = trimmed(rest);
  if (!rest.starts_with(begin)) return std::nullopt;
  const size_t stop = rest.find(end, begin.size());
  if (stop == rest.npos) return std::nullopt;
  const std::string_view taken = rest.substr(begin.size(), stop - begin.size());
  rest.remove_prefix(stop + end.size());
  return taken;
}

/// A value without quotes: JSON where it is some, else text.
Json loose_value(std::string_view text) {
  Json value = parse_json(trimmed(text));
  if (!value.is_discarded()) return value;
  if (text.starts_with('\n')) text.remove_prefix(1);
  if (text.ends_with('\n')) text.remove_suffix(1);
  return std::string(text);
}

Calls one_call(std::string_view name, const Json& arguments) {
  return std::vector{ToolCall{std::string(name), written(arguments)}};
}

Calls parse_coder_call(std::string_view body) {
  const auto name = take_between(body, "<function=", ">");
  if (!name || name->empty()) return std::nullopt;
  Json arguments = Json::object();
  while (const auto key = take_between(body, "<parameter=", ">")) {
    const auto value = take_between(body, "", "</parameter>");
    if (!value) return std::nullopt;
    arguments[std::string(*key)] = loose_value(*value);
  }
  if (trimmed(body) != "</function>") return std::nullopt;
  return one_call(*name, arguments);
}

Calls parse_glm_call(std::string_view body) {
  const size_t first = std::min(body.find("<arg_key>"), body.size());
  const std::string_view name = trimmed(body.substr(0, first));
  if (name.empty() || name.find_first_of(" \n<{\"") != name.npos) return std::nullopt;
  body.remove_prefix(first);
  Json arguments = Json::object();
  while (const auto key = take_between(body, "<arg_key>", "</arg_key>")) {
    const auto value = take_between(body, "<arg_value>", "</arg_value>");
    if (!value) return std::nullopt;
    arguments[std::string(*key)] = loose_value(*value);
  }
  if (!trimmed(body).empty()) return std::nullopt;
  return one_call(name, arguments);
}

Calls parse_tagged(std::string_view body) {
  body = trimmed(body);
  if (body.starts_with('{') || body.starts_with('[')) return parse_json_calls(body);
  if (body.starts_with("<function=")) return parse_coder_call(body);
  return parse_glm_call(body);
}

Calls parse_mistral(std::string_view body) {
  body = trimmed(body);
  if (body.starts_with('[')) return parse_json_calls(body);
  const size_t object = std::min(body.find('{'), body.size());
  std::string_view name = body.substr(0, object);
  for (const std::string_view mark : {"[ARGS]", "[CALL_ID]"})
    name = name.substr(0, name.find(mark));
  name = trimmed(name);
  const Json arguments = parse_json(body.substr(object));
  if (name.empty() || !arguments.is_object()) return std::nullopt;
  return one_call(name, arguments);
}

}  // namespace

const std::vector<CallFormat>& call_formats() {
  static const std::vector<CallFormat> formats{
      {"<tool_call>", "</tool_call>", parse_tagged},
      {"[TOOL_CALLS]", "", parse_mistral},
      {"<|python_tag|>", "", parse_json_calls},
  };
  return formats;
}

const CallFormat& bare_call_format() {
  static const CallFormat format{"", "", parse_json_calls};
  return format;
}

}  // namespace sluice::server
