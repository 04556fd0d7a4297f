// How a served model is brought to call tools.
#include <algorithm>
#include <utility>

#include "sluice/server/serving/markers.h"
#include "sluice/server/serving/served_model.h"

namespace sluice::server {
namespace {

/// The tool that is named, or all of them.
Json choosable(const Ask::Chat& chat) {
  if (chat.tool_choice.mode != ToolChoice::Mode::named) return chat.tools;
  Json chosen = Json::array();
  for (const Json& tool : chat.tools) {
    if (tool["function"]["name"] == chat.tool_choice.name) chosen.push_back(tool);
  }
  return chosen;
}

}  // namespace

/// A call that is asked for is begun in the prompt, behind what thoughts the template has begun, and the model can only
/// go on with it, as its grammar has it.
void ServedModel::begin_wanted_call(const Ask::Chat& chat, text::RenderedPrompt& rendered,
                                    Prompt& prompt) const {
  using Mode = ToolChoice::Mode;
  const ToolChoice& choice = chat.tool_choice;
  if (choice.mode != Mode::required && choice.mode != Mode::named) {
    prompt.calls = strict_calls(chat);
    return;
  }
  const auto append_marker = [&](std::string_view marker) {
    const size_t at = rendered.text.size();
    rendered.trusted.push_back({at, at + marker.size()});
    rendered.text += marker;
  };
  if (std::exchange(prompt.markup.begins_in_reasoning, false)) {
    append_marker(kThinkEnd);
    rendered.text += "\n\n";
  }
  const bool named = choice.mode == Mode::named;
  const std::string_view marker = bare_calls_ ? "" : listed_calls_ ? kCallListMarker : kCallMarker;
  const CallForm form{.begun = named ? CallForm::Begun::name : CallForm::Begun::quote,
                      .arguments = bare_calls_ ? "parameters" : "arguments",
                      .in_list = listed_calls_};
  std::string json = listed_calls_ ? "[" : bare_calls_ ? "" : "\n";
  json += R"({"name": ")";
  if (named) {
    json += Json(choice.name).dump().substr(1);
    json += ", \"" + std::string(form.arguments) + "\": ";
  }
  if (!marker.empty()) append_marker(marker);
  rendered.text += json;
  prompt.begun = std::string(marker) + json;
  prompt.calls =
      CallRule{.grammar = call_grammar(choosable(chat), form), .ends = named || !choice.parallel};
}

/// For tools whose arguments have to fit, when the model calls them of its own accord.
std::optional<CallRule> ServedModel::strict_calls(const Ask::Chat& chat) const {
  if (!json_calls_ || std::ranges::none_of(chat.tools, is_strict)) return std::nullopt;
  return CallRule{.grammar = call_grammar(chat.tools, {}), .marker = std::string(kCallMarker)};
}

Markup ServedModel::markup_of(const Ask::Chat& chat, const std::string& rendered) const {
  Markup markup;
  if (info_.thinks) {
    markup.think_begin = kThinkBegin;
    markup.think_end = kThinkEnd;
    const size_t begin = rendered.rfind(kThinkBegin);
    markup.begins_in_reasoning =
        begin != rendered.npos &&
        rendered.find_first_not_of(" \r\n\t", begin + kThinkBegin.size()) == rendered.npos;
  }
  markup.calls_tools = chat.tool_choice.mode != ToolChoice::Mode::none && !chat.tools.empty();
  markup.bare_calls = markup.calls_tools && (bare_calls_ || !abilities_.tools);
  for (const Json& tool : chat.tools) {
    if (const auto function = tool.find("function"); function != tool.end())
      markup.tool_names.push_back(function->value("name", ""));
  }
  return markup;
}

}  // namespace sluice::server
