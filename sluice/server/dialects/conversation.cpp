#include "sluice/server/dialects/conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sluice/base/printable.h"

namespace sluice::server {
namespace {

// What clients keep beside a message for themselves.
constexpr auto kNeutralOfMessage = std::to_array<std::string_view>({
    "annotations",
    "cache_control",
    "created_at",
    "experimental_providerMetadata",
    "id",
    "metadata",
    "phase",
    "providerMetadata",
    "providerOptions",
    "provider_options",
    "provider_specific_fields",
    "reasoning_details",
    "reasoning_signature",
    "refusal",
    "status",
    "timestamp",
});
constexpr auto kRefusedOfMessage = std::to_array<Refused>({
    {"audio", "there is no model here that hears or speaks"},
    {"function_call", "is the old form of a call; send tool_calls"},
});
constexpr auto kNeutralOfPart =
    std::to_array<std::string_view>({"annotations", "cache_control", "citations", "id", "index",
                                     "logprobs", "providerOptions", "prompt_cache_breakpoint"});

Json parsed_arguments(const std::string& text) {
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return Json::object();
  // The text is a string of a body whose size was limited; its levels were not counted yet.
  if (std::ranges::count_if(text, [](char c) { return c == '[' || c == '{'; }) > 4096) return text;
  Json value = Json::parse(text, nullptr, false);
  return value.is_object() ? value : Json(text);
}

Json read_call(const Json& value, const std::string& path) {
  Fields call(value, path);
  call.only("type", {"function", "custom"}, "is not a kind of call: function, custom");
  call.neutral(std::to_array<std::string_view>({"index", "extra_content", "cache_control"}));
  const std::string id = call.text("id").value_or("");
  if (auto custom = call.object("custom")) {
    const Json input{{"input", custom->text("input").value_or("")}};
    const std::string name = custom->required_text("name");
    custom->finish();
    call.finish();
    return make_tool_call(id, name, dump(input));
  }
  const Json* function_value = call.any("function");
  if (!function_value) {
    refuse_field(call.path("function"), "is missing", "missing_required_parameter");
  }
  Fields function(*function_value, call.path("function"));
  function.neutral(std::to_array<std::string_view>({"index", "parsed_arguments", "description"}));
  const std::string name = function.required_text("name");
  const Json* arguments = function.any("arguments");
  if (arguments && !arguments->is_string() && !arguments->is_object()) {
    refuse_type(*arguments, function.path("arguments"), "a string or an object");
  }
  function.finish();
  call.finish();
  const std::string text = !arguments               ? ""
                           : arguments->is_string() ? arguments->get<std::string>()
                                                    : dump(*arguments);
  return make_tool_call(id, name, text);
}

void read_assistant(Fields& fields, Json& message, const Limits& limits) {
  for (const std::string_view name : {"reasoning_content", "reasoning", "thinking"}) {
    const auto text = fields.text(name);
    if (text && !text->empty() && !message.contains("reasoning_content")) {
      message["reasoning_content"] = *text;
    }
  }
  const Json* calls = fields.array("tool_calls", limits.tools);
  for (size_t i = 0; calls && i < calls->size(); ++i) {
    message["tool_calls"].push_back(read_call((*calls)[i], indexed(fields.path("tool_calls"), i)));
  }
}

Json read_message(Fields& fields, const Limits& limits, bool& prefix) {
  fields.neutral(kNeutralOfMessage);
  fields.refuse(kRefusedOfMessage);
  fields.only("images", {Json::array()}, "images cannot be read; send text");
  auto role = *fields.word("role", {"system", "developer", "user", "assistant", "tool"});
  if (role == "developer") role = "system";
  Json message = make_message(role, read_text_parts(fields.any("content"), fields.path("content"),
                                                    {"text", "input_text", "output_text"}));
  prefix = fields.boolean("prefix").value_or(false);
  if (role == "assistant") read_assistant(fields, message, limits);
  const auto name = fields.text("name");
  const auto tool_name = fields.text("tool_name");
  if (name || tool_name) message["name"] = name ? *name : *tool_name;
  if (const auto id = fields.text("tool_call_id")) message["tool_call_id"] = *id;
  fields.finish();
  return message;
}

}  // namespace

Json make_message(std::string_view role, std::string content) {
  return {{"role", role}, {"content", std::move(content)}};
}

Json make_tool_call(std::string_view id, std::string_view name, const std::string& arguments) {
  return {{"id", id},
          {"type", "function"},
          {"function", {{"name", name}, {"arguments", parsed_arguments(arguments)}}}};
}

Json make_tool(std::string name, Json description, const Json* parameters, bool strict) {
  Json function{{"name", std::move(name)}};
  if (description.is_string()) function["description"] = std::move(description);
  function["parameters"] =
      parameters ? *parameters : Json{{"type", "object"}, {"properties", Json::object()}};
  if (strict) function["strict"] = true;
  return {{"type", "function"}, {"function", std::move(function)}};
}

void append_tool_call(Json& messages, Json call) {
  if (messages.empty() || messages.back()["role"] != "assistant") {
    messages.push_back(make_message("assistant", ""));
  }
  messages.back()["tool_calls"].push_back(std::move(call));
}

std::string read_text_parts(const Json* content, const std::string& path,
                            std::initializer_list<std::string_view> types) {
  if (!content) return "";
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) refuse_type(*content, path, "a string or an array of parts");
  std::string joined;
  for (size_t i = 0; i < content->size(); ++i) {
    const std::string where = indexed(path, i);
    if (i > 0) joined += '\n';
    if ((*content)[i].is_string()) {
      joined += (*content)[i].get<std::string>();
      continue;
    }
    Fields part((*content)[i], where);
    const std::string type = part.required_text("type");
    if (type == "refusal") {
      joined += part.required_text("refusal");
    } else if (std::ranges::find(types, type) == types.end()) {
      refuse_field(where,
                   fmt::format("is of type \"{}\", which cannot be read and is not fetched; "
                               "send text",
                               printable_name(type)),
                   "unsupported_value");
    } else {
      joined += part.required_text("text");
    }
    part.neutral(kNeutralOfPart);
    part.finish();
  }
  return joined;
}

void read_openai_messages(Fields& body, std::string_view name, Ask::Chat& chat,
                          const Limits& limits) {
  const Json* messages = body.array(name, limits.messages);
  if (!messages) refuse_field(body.path(name), "is missing", "missing_required_parameter");
  bool prefix = false;
  for (size_t i = 0; i < messages->size(); ++i) {
    Fields fields((*messages)[i], indexed(body.path(name), i));
    if (!fields.has("role")) refuse_field(fields.path("role"), "is missing, wanted a string");
    chat.messages.push_back(read_message(fields, limits, prefix));
  }
  if (prefix && chat.messages.back()["role"] == "assistant") chat.continues = true;
}

}  // namespace sluice::server
