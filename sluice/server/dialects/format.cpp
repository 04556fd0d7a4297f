#include "sluice/server/dialects/format.h"

#include <fmt/format.h>

#include "sluice/server/dialects/tools.h"

namespace sluice::server {
namespace {

using Kind = Format::Kind;

void set_format(Ask& ask, Kind kind, std::string definition, const std::string& path,
                const Limits& limits) {
  if (definition.size() > limits.schema_bytes) {
    refuse_field(path, fmt::format("has {} bytes, at most {} are read", definition.size(),
                                   limits.schema_bytes));
  }
  if (ask.format.kind != Kind::text) {
    refuse_field(path, "is a second form for the answer; give one of them");
  }
  ask.format = {.kind = kind, .definition = std::move(definition)};
}

void set_schema(Fields& fields, std::string_view name, Ask& ask, const Limits& limits) {
  const Json* schema = read_schema(fields, name, limits);
  if (!schema) refuse_field(fields.path(name), "is missing", "missing_required_parameter");
  set_format(ask, Kind::json_schema, dump(*schema), fields.path(name), limits);
}

/// GBNF defines by "::=", Lark by ":".
Kind grammar_kind(std::string_view text) {
  return text.find("::=") != std::string_view::npos ? Kind::gbnf : Kind::lark;
}

std::string regex_of_choices(const Json& choices, const std::string& path) {
  std::string regex;
  for (size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) regex += '|';
    for (const char c : to_text(choices[i], indexed(path, i))) {
      if (std::string_view(R"(\^$.|?*+()[]{}-/)").find(c) != std::string_view::npos) regex += '\\';
      regex += c;
    }
  }
  return regex;
}

/// A schema as an object or as its JSON text.
void read_json_grammar(Fields& fields, std::string_view name, Ask& ask, const Limits& limits) {
  const Json* value = fields.any(name);
  if (!value) return;
  const std::string path = fields.path(name);
  if (value->is_object()) {
    set_format(ask, Kind::json_schema, dump(*value), path, limits);
  } else {
    set_format(ask, Kind::json_schema, to_text(*value, path), path, limits);
  }
}

/// vLLM's names, which had a prefix before.
void read_guided(Fields& fields, std::string_view prefix, Ask& ask, const Limits& limits) {
  const auto named = [&](std::string_view name) { return fmt::format("{}{}", prefix, name); };
  read_json_grammar(fields, named("json"), ask, limits);
  if (const auto regex = fields.text(named("regex"))) {
    set_format(ask, Kind::regex, *regex, fields.path(named("regex")), limits);
  }
  if (const auto grammar = fields.text(named("grammar"))) {
    set_format(ask, grammar_kind(*grammar), *grammar, fields.path(named("grammar")), limits);
  }
  if (const Json* choices = fields.array(named("choice"), 4096)) {
    const std::string path = fields.path(named("choice"));
    set_format(ask, Kind::regex, regex_of_choices(*choices, path), path, limits);
  }
}

void read_template_args(Fields& body, Ask::Chat& chat, const Limits& limits) {
  const Json* args = body.any("chat_template_kwargs");
  if (!args) return;
  Fields fields(*args, body.path("chat_template_kwargs"));
  if (dump(*args).size() > limits.schema_bytes) {
    refuse_field(body.path("chat_template_kwargs"), "is too large");
  }
  for (const std::string_view name :
       {"messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"}) {
    if (fields.has(name)) refuse_field(fields.path(name), "is the server's to set");
  }
  if (const auto think = fields.boolean("enable_thinking")) chat.think = think;
  for (const auto& [name, value] : args->items()) chat.template_args[name] = value;
}

}  // namespace

void read_response_format(Fields& body, Ask& ask, const Limits& limits) {
  auto format = body.object("response_format");
  if (!format) return;
  const auto type = format->word("type", {"text", "json_object", "json_schema"});
  if (!type) refuse_field(format->path("type"), "is missing", "missing_required_parameter");
  if (auto nested = format->object("json_schema")) {
    nested->neutral(std::to_array<std::string_view>({"name", "description", "strict"}));
    if (type == "json_schema") set_schema(*nested, "schema", ask, limits);
    nested->finish();
  } else if (type == "json_schema") {
    set_schema(*format, "schema", ask, limits);
    format->neutral(std::to_array<std::string_view>({"name", "description", "strict"}));
  } else if (type == "json_object" && format->has("schema")) {
    set_schema(*format, "schema", ask, limits);  // llama-server's and Together's form
  }
  if (type == "json_object" && ask.format.kind == Kind::text) ask.format.kind = Kind::json;
  format->finish();
}

void read_flat_format(Fields& format, Ask& ask, const Limits& limits) {
  const auto type = format.word("type", {"text", "json_object", "json_schema"});
  if (type == "json_schema") set_schema(format, "schema", ask, limits);
  if (type == "json_object") ask.format.kind = Kind::json;
  format.neutral(std::to_array<std::string_view>({"name", "description", "strict"}));
  format.finish();
}

void read_grammars(Fields& body, Ask& ask, const Limits& limits) {
  read_guided(body, "guided_", ask, limits);
  if (auto nested = body.object("structured_outputs")) {
    read_guided(*nested, "", ask, limits);
    if (nested->boolean("json_object").value_or(false)) ask.format.kind = Kind::json;
    nested->finish();
  }
  if (const auto grammar = body.text("grammar"); grammar && !grammar->empty()) {
    set_format(ask, Kind::gbnf, *grammar, body.path("grammar"), limits);
  }
  read_json_grammar(body, "json_schema", ask, limits);
}

void set_effort(const std::string& effort, Ask::Chat& chat) {
  if (!chat.think) chat.think = effort != "none";
  if (effort != "none") chat.template_args["reasoning_effort"] = effort;
}

void read_reasoning(Fields& body, Ask::Chat& chat, const Limits& limits) {
  read_template_args(body, chat, limits);
  for (const std::string_view name : {"enable_thinking", "think"}) {
    const Json* value = body.any(name);
    if (value && value->is_string()) {
      set_effort(*body.word(name, {"none", "low", "medium", "high", "max"}), chat);
    } else if (value) {
      chat.think = to_boolean(*value, body.path(name));
    }
  }
  if (auto thinking = body.object("thinking")) {
    const auto type = thinking->word("type", {"enabled", "disabled", "adaptive", "auto"});
    if (type == "enabled" || type == "disabled") chat.think = type == "enabled";
    chat.think_budget = thinking->integer("budget_tokens", 0, limits.max_tokens);
    thinking->finish();
  }
  if (auto reasoning = body.object("reasoning")) {
    const auto effort =
        reasoning->word("effort", {"none", "minimal", "low", "medium", "high", "xhigh", "max"});
    if (const auto enabled = reasoning->boolean("enabled")) chat.think = enabled;
    if (effort) set_effort(*effort, chat);
    if (const auto most = reasoning->integer("max_tokens", 0, limits.max_tokens)) {
      chat.think_budget = most;
    }
    reasoning->neutral(std::to_array<std::string_view>({"summary", "generate_summary", "exclude"}));
    reasoning->finish();
  }
  if (const auto effort = body.word("reasoning_effort", {"none", "minimal", "low", "medium", "high",
                                                         "xhigh", "max", "default"})) {
    if (*effort != "default") set_effort(*effort, chat);
  }
}

void read_chat_logprobs(Fields& body, Ask& ask, const Limits& limits) {
  const bool wanted = body.boolean("logprobs").value_or(false);
  const auto top = body.integer("top_logprobs", 0, limits.top_logprobs);
  if (top && *top > 0 && !wanted) {
    refuse_field(body.path("top_logprobs"), "needs logprobs to be true");
  }
  if (wanted) ask.top_logprobs = static_cast<int>(top.value_or(0));
}

}  // namespace sluice::server
