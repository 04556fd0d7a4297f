#include "sluice/server/answers/call_grammar.h"

#include <fmt/format.h>

#include <iterator>

namespace sluice::server {
namespace {

/// A string literal of Lark's, which are JSON's.
std::string literal(std::string_view text) { return Json(text).dump(); }

/// In the one spelling that all JSON has here (rust/text, grammar.rs).
std::string arguments_schema(const Json& tool) {
  const Json& function = tool["function"];
  Json schema{{"type", "object"}};
  if (is_strict(tool)) {
    if (const auto own = function.find("parameters"); own != function.end() && own->is_object())
      schema.update(*own);
  }
  schema["x-guidance"] = {
      {"whitespace_flexible", false}, {"item_separator", ", "}, {"key_separator", ": "}};
  return schema.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string arguments_rules(const Json& tools) {
  std::string rules;
  for (size_t i = 0; i < tools.size(); ++i)
    fmt::format_to(std::back_inserter(rules), "arguments_{}: %json {}\n", i,
                   arguments_schema(tools[i]));
  return rules;
}

}  // namespace

bool is_strict(const Json& tool) {
  const auto function = tool.find("function");
  return function != tool.end() && function->is_object() && function->value("strict", false);
}

std::string call_grammar(const Json& tools, const CallForm& form) {
  using Begun = CallForm::Begun;
  std::string grammar =
      form.begun == Begun::nothing
          ? fmt::format("start: SPACE? {} call\nSPACE: /[ \\n]{{1,2}}/\n", literal("{\"name\": \""))
          : "start: call\n";
  const auto out = std::back_inserter(grammar);
  for (size_t i = 0; i < tools.size(); ++i) {
    fmt::format_to(out, "{} ", i == 0 ? "call:" : "  |");
    if (form.begun != Begun::name) {
      const auto name = tools[i]["function"]["name"].get<std::string>();
      grammar += literal(fmt::format("{}\", \"{}\": ", name, form.arguments)) + " ";
    }
    fmt::format_to(out, "arguments_{} {}\n", i, literal(form.in_list ? "}]" : "}"));
  }
  return grammar + arguments_rules(tools);
}

std::string channel_call_grammar(const Json& tools, bool named) {
  std::string grammar = "start: call\n";
  const auto out = std::back_inserter(grammar);
  for (size_t i = 0; i < tools.size(); ++i) {
    fmt::format_to(out, "{} ", i == 0 ? "call:" : "  |");
    if (!named) {
      const auto name = tools[i]["function"]["name"].get<std::string>();
      fmt::format_to(out, "{} <|constrain|> \"json\" <|message|> ", literal(name + " "));
    }
    fmt::format_to(out, "arguments_{}\n", i);
  }
  return grammar + arguments_rules(tools);
}

}  // namespace sluice::server
