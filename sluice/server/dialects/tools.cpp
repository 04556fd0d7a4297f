#include "sluice/server/dialects/tools.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sluice/base/printable.h"
#include "sluice/server/dialects/conversation.h"

namespace sluice::server {
namespace {

using Mode = ToolChoice::Mode;

void read_tool(const Json& value, const std::string& path, Ask::Chat& chat,
               std::vector<std::string>& warnings, const Limits& limits) {
  Fields tool(value, path);
  const std::string type = tool.text("type").value_or("function");
  if (type == "mcp") refuse_field(path, "an mcp tool is a server to call, which is not done");
  if (type == "function") {
    const Json* function = tool.any("function");
    if (!function) refuse_field(tool.path("function"), "is missing", "missing_required_parameter");
    Fields fields(*function, tool.path("function"));
    chat.tools.push_back(read_function_tool(fields, limits));
  } else if (type == "custom") {
    const Json* custom = tool.any("custom");
    if (!custom) refuse_field(tool.path("custom"), "is missing", "missing_required_parameter");
    Fields fields(*custom, tool.path("custom"));
    chat.tools.push_back(tool_of_custom(fields, limits));
  } else {
    warnings.push_back(fmt::format("{}: a tool of type {} is run by its own service, left out",
                                   path, printable_name(type)));
    return;
  }
  tool.neutral(std::to_array<std::string_view>({"cache_control", "copilot_cache_control"}));
  tool.finish();
}

/// {"type": "function", "function": {"name"}}, {"type": "function", "name"}, the same of custom.
std::string chosen_name(Fields& choice) {
  for (const std::string_view kind : {"function", "custom"}) {
    if (auto function = choice.object(kind)) {
      std::string name = function->required_text("name");
      function->finish();
      return name;
    }
  }
  return choice.required_text("name");
}

void read_allowed(Fields& choice, Ask::Chat& chat, const Limits& limits) {
  auto nested = choice.object("allowed_tools");
  Fields& allowed = nested ? *nested : choice;
  const auto mode = allowed.word("mode", {"auto", "required"});
  chat.tool_choice.mode = mode == "required" ? Mode::required : Mode::automatic;
  const Json* tools = allowed.array("tools", limits.tools);
  std::vector<std::string> names;
  for (size_t i = 0; tools && i < tools->size(); ++i) {
    Fields tool((*tools)[i], indexed(allowed.path("tools"), i));
    tool.any("type");
    names.push_back(chosen_name(tool));
    tool.finish();
  }
  keep_tools(chat.tools, names);
  if (nested) nested->finish();
}

void read_choice(Fields& body, Ask::Chat& chat, const Limits& limits) {
  const Json* value = body.any("tool_choice");
  if (!value) return;
  const std::string path = body.path("tool_choice");
  ToolChoice& choice = chat.tool_choice;
  if (value->is_string()) {
    const auto word = *body.word("tool_choice", {"auto", "none", "required", "any"});
    choice.mode = word == "auto" ? Mode::automatic : word == "none" ? Mode::none : Mode::required;
    return;
  }
  if (!value->is_object()) refuse_type(*value, path, "a word or an object");
  Fields fields(*value, path);
  const std::string type = fields.text("type").value_or("function");
  if (type == "allowed_tools") {
    read_allowed(fields, chat, limits);
  } else if (type == "function" || type == "custom" || type == "tool") {
    choice.mode = Mode::named;
    choice.name = chosen_name(fields);
  } else if (type == "auto" || type == "none" || type == "required" || type == "any") {
    choice.mode = type == "auto" ? Mode::automatic : type == "none" ? Mode::none : Mode::required;
  } else {
    refuse_field(path, fmt::format("is of type \"{}\", wanted function, custom, allowed_tools, "
                                   "auto, none or required",
                                   printable_name(type)));
  }
  fields.finish();
}

}  // namespace

const std::string& checked_tool_name(const Json& value, const std::string& path) {
  const std::string& name = to_text(value, path);
  const bool fine = !name.empty() && name.size() <= 256 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_.:/-").find(c) != std::string_view::npos;
  });
  if (!fine) {
    refuse_field(path, fmt::format("is \"{}\", wanted 1 to 256 letters, digits and any of _.:/-",
                                   printable_name(name)));
  }
  return name;
}

const Json* read_schema(Fields& fields, std::string_view name, const Limits& limits) {
  const Json* schema = fields.any(name);
  if (!schema) return nullptr;
  const std::string path = fields.path(name);
  if (!schema->is_object()) refuse_type(*schema, path, "a JSON schema, an object");
  if (const size_t size = dump(*schema).size(); size > limits.schema_bytes) {
    refuse_field(path, fmt::format("has {} bytes, at most {} are read", size, limits.schema_bytes));
  }
  return schema;
}

void check_tool_choice(const Ask::Chat& chat, const std::string& path) {
  const ToolChoice& choice = chat.tool_choice;
  if (choice.mode == Mode::required && chat.tools.empty()) {
    refuse_field(path, "demands a call, and there are no tools to call");
  }
  if (choice.mode != Mode::named) return;
  const bool there = std::ranges::any_of(
      chat.tools, [&](const Json& tool) { return tool["function"]["name"] == choice.name; });
  if (!there) {
    refuse_field(path, fmt::format("names the tool \"{}\", which is not among tools",
                                   printable_name(choice.name)));
  }
}

void keep_tools(Json& tools, const std::vector<std::string>& names) {
  Json kept = Json::array();
  for (const Json& tool : tools) {
    const auto name = tool["function"]["name"].get<std::string>();
    if (std::ranges::find(names, name) != names.end()) kept.push_back(tool);
  }
  tools = std::move(kept);
}

Json read_function_tool(Fields& function, const Limits& limits) {
  const Json* name = function.any("name");
  if (!name) refuse_field(function.path("name"), "is missing", "missing_required_parameter");
  const Json* description = function.any("description");
  if (description) to_text(*description, function.path("description"));
  const Json* parameters = read_schema(function, "parameters", limits);
  const bool strict = function.boolean("strict").value_or(false);
  function.any("type");
  function.neutral(std::to_array<std::string_view>(
      {"cache_control", "defer_loading", "returns", "response", "output_schema"}));
  function.finish();
  return make_tool(checked_tool_name(*name, function.path("name")),
                   description ? *description : Json(), parameters, strict);
}

Json tool_of_custom(Fields& custom, const Limits& limits) {
  const Json* name = custom.any("name");
  if (!name) refuse_field(custom.path("name"), "is missing", "missing_required_parameter");
  std::string description = custom.text("description").value_or("");
  if (auto format = custom.object("format")) {
    auto grammar = format->object("grammar");
    Fields& holder = grammar ? *grammar : *format;
    format->word("type", {"text", "grammar"});
    const auto syntax = holder.word("syntax", {"lark", "regex"});
    const auto definition = holder.text("definition");
    if (definition && definition->size() > limits.schema_bytes) {
      refuse_field(holder.path("definition"), "is too large");
    }
    if (syntax && definition) {
      description += fmt::format("\nThe input has this form ({}):\n{}", *syntax, *definition);
    }
    if (grammar) grammar->finish();
    format->finish();
  }
  custom.neutral(std::to_array<std::string_view>({"type", "cache_control", "defer_loading"}));
  custom.finish();
  const Json parameters{{"type", "object"},
                        {"properties", {{"input", {{"type", "string"}}}}},
                        {"required", Json::array({"input"})}};
  return make_tool(checked_tool_name(*name, custom.path("name")), description, &parameters, false);
}

void read_openai_tools(Fields& body, Ask::Chat& chat, std::vector<std::string>& warnings,
                       const Limits& limits) {
  const Json* tools = body.array("tools", limits.tools);
  for (size_t i = 0; tools && i < tools->size(); ++i) {
    read_tool((*tools)[i], indexed(body.path("tools"), i), chat, warnings, limits);
  }
  read_tool_choice(body, chat, limits);
}

void read_tool_choice(Fields& body, Ask::Chat& chat, const Limits& limits) {
  read_choice(body, chat, limits);
  check_tool_choice(chat, body.path("tool_choice"));
  chat.tool_choice.parallel = body.boolean("parallel_tool_calls").value_or(true);
}

}  // namespace sluice::server
