#include "sluice/server/dialects/roles.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "sluice/server/dialects/conversation.h"
#include "sluice/server/dialects/fields.h"

namespace sluice::server {
namespace {

constexpr const char* kWord = "quokka";  // looked for in what a template wrote

Json user(std::string text) { return make_message("user", std::move(text)); }

Json assistant_call(const char* name, const char* id) {
  Json message = make_message("assistant", "");
  message["tool_calls"].push_back(make_tool_call(id, name, R"({"a":1})"));
  return message;
}

Json tool_result(std::string text, const char* id) {
  Json message = make_message("tool", std::move(text));
  message["tool_call_id"] = id;
  message["name"] = "f";
  return message;
}

bool shows(const Render& render, const Json& messages, const Json& tools = nullptr) {
  try {
    return render(messages, tools).find(kWord) != std::string::npos;
  } catch (const std::exception&) {
    return false;
  }
}

bool shows_json_call(const Render& render, const Json& messages) {
  constexpr std::string_view kMarker = "<tool_call>";
  try {
    const std::string text = render(messages, nullptr);
    const size_t marker = text.find(kMarker);
    if (marker == text.npos) return false;
    const size_t call = text.find_first_not_of(" \n", marker + kMarker.size());
    return call != text.npos && text.substr(call).starts_with("{\"name\"");
  } catch (const std::exception&) {
    return false;
  }
}

/// The tools as a text, for templates that show none.
std::string describe_tools(const Json& tools) {
  std::string text = "You can call these functions, each described by one line of JSON:\n";
  for (const Json& tool : tools) text += dump(tool["function"]) + "\n";
  return text +
         "To call one, write its name and its arguments like this, several calls one after "
         "another:\n"
         "<tool_call>\n{\"name\": \"NAME\", \"arguments\": {\"KEY\": \"VALUE\"}}\n</tool_call>";
}

std::string describe_calls(const Json& calls) {
  std::string text;
  for (const Json& call : calls) {
    text += fmt::format("\n<tool_call>\n{}\n</tool_call>", dump(call["function"]));
  }
  return text;
}

void append_text(Json& message, const std::string& text) {
  auto content = message["content"].get<std::string>();
  message["content"] = content.empty() ? text : content + "\n\n" + text;
}

/// Calls and results as texts where the template has no place for them.
Json with_shown_tools(const Json& messages, const TemplateAbilities& abilities) {
  Json shown = Json::array();
  for (Json message : messages) {
    if (!abilities.tool_calls && message.contains("tool_calls")) {
      append_text(message, describe_calls(message["tool_calls"]).substr(1));
      message.erase("tool_calls");
    }
    if (!abilities.tool_results && message["role"] == "tool") {
      message = user(fmt::format("<tool_response>\n{}\n</tool_response>",
                                 message["content"].get<std::string>()));
    }
    shown.push_back(std::move(message));
  }
  return shown;
}

/// System messages where the template can show them: one at the beginning, or none but in a user's message.
Json with_placed_system(const Json& messages, const TemplateAbilities& abilities) {
  Json placed = Json::array();
  std::string first;  // to be put before the first user's text
  bool at_beginning = true;
  for (Json message : messages) {
    if (message["role"] != "system") {
      at_beginning = false;
      if (!first.empty() && message["role"] == "user") {
        message["content"] = first + "\n\n" + message["content"].get<std::string>();
        first.clear();
      }
      placed.push_back(std::move(message));
    } else if (at_beginning && !abilities.system) {
      first += (first.empty() ? "" : "\n\n") + message["content"].get<std::string>();
    } else if (at_beginning && !placed.empty() && !abilities.late_system) {
      append_text(placed.back(), message["content"].get<std::string>());
    } else if (at_beginning || abilities.late_system) {
      placed.push_back(std::move(message));
    } else {
      placed.push_back(user(fmt::format("<system-reminder>\n{}\n</system-reminder>",
                                        message["content"].get<std::string>())));
    }
  }
  if (!first.empty()) placed.insert(placed.begin(), user(first));
  return placed;
}

/// One message instead of several of a user, or of the assistant, in turn.
Json with_turns(const Json& messages) {
  Json turns = Json::array();
  for (const Json& message : messages) {
    const bool same = !turns.empty() && turns.back()["role"] == message["role"] &&
                      (message["role"] == "user" || message["role"] == "assistant");
    if (!same) {
      turns.push_back(message);
      continue;
    }
    const auto text = message["content"].get<std::string>();
    if (!text.empty()) append_text(turns.back(), text);
    if (message.contains("tool_calls")) {
      for (const Json& call : message["tool_calls"]) turns.back()["tool_calls"].push_back(call);
    }
  }
  return turns;
}

/// Ids of 9 letters and digits by their order, so that a conversation's beginning keeps its own.
void shorten_ids(Json& messages) {
  std::map<std::string, std::string> names;
  const auto shorten = [&](Json& id) {
    const auto given = id.is_string() ? id.get<std::string>() : "";
    id = names.try_emplace(given, fmt::format("call{:05}", names.size())).first->second;
  };
  for (Json& message : messages) {
    if (message.contains("tool_calls")) {
      for (Json& call : message["tool_calls"]) shorten(call["id"]);
    }
    if (message["role"] == "tool") shorten(message["tool_call_id"]);
  }
}

}  // namespace

TemplateAbilities probe_template(const Render& render) {
  TemplateAbilities abilities;
  const Json tool = make_tool(kWord, "does it", nullptr, false);
  const auto result = [](const char* id) {
    return Json::array({user("a"), assistant_call("f", id), tool_result(kWord, id)});
  };
  constexpr const char* kShort = "abcdefghi";
  constexpr const char* kLong = "call_abcdefghijklmnopqrstuvwx";
  const Json system = make_message("system", kWord);
  abilities.system = shows(render, Json::array({system, user("a")}));
  abilities.late_system =
      shows(render, Json::array({make_message("system", "s"), user("a"),
                                 make_message("assistant", "b"), system, user("c")}));
  abilities.repeated_roles = shows(render, Json::array({user("a"), user(kWord)}));
  abilities.tools = shows(render, Json::array({user("a")}), Json::array({tool}));
  abilities.tool_calls = shows(
      render, Json::array({user("a"), assistant_call(kWord, kShort), tool_result("b", kShort)}));
  if (!abilities.tool_calls) {
    abilities.tool_calls =
        shows(render, Json::array({user("a"), assistant_call(kWord, kShort), user("b")}));
  }
  abilities.json_calls = shows_json_call(
      render, Json::array({user("a"), assistant_call(kWord, kShort), tool_result("b", kShort)}));
  abilities.tool_results = shows(render, result(kShort));
  abilities.long_ids = !abilities.tool_results || shows(render, result(kLong));
  return abilities;
}

Json normalise_roles(const Json& messages, Json& tools, const TemplateAbilities& abilities) {
  Json normal = messages;
  if (!abilities.tools && tools.is_array() && !tools.empty()) {
    normal.insert(normal.begin(), make_message("system", describe_tools(tools)));
    tools = nullptr;
  }
  normal = with_placed_system(with_shown_tools(normal, abilities), abilities);
  if (!abilities.repeated_roles) normal = with_turns(normal);
  if (!abilities.long_ids) shorten_ids(normal);
  return normal;
}

}  // namespace sluice::server
