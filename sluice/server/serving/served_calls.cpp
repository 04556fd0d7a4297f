// How a served model is brought to call tools.
#include <algorithm>
#include <utility>

#include "sluice/server/answers/channel_splitter.h"
#include "sluice/server/serving/markers.h"
#include "sluice/server/serving/served_model.h"

namespace sluice::server {
namespace {

/// As far as the tool's name.
constexpr std::string_view kChannelCall = "<|channel|>commentary to=functions.";

/// The tool that is named, or all of them.
Json choosable(const Ask::Chat& chat) {
  if (chat.tool_choice.mode != ToolChoice::Mode::named) return chat.tools;
  Json chosen = Json::array();
  for (const Json& tool : chat.tools) {
    if (tool["function"]["name"] == chat.tool_choice.name) chosen.push_back(tool);
  }
  return chosen;
}

/// Those whose schema says that they are strings.
std::set<std::string, std::less<>> text_arguments(const Json& function) {
  std::set<std::string, std::less<>> names;
  const auto schema = function.find("parameters");
  if (schema == function.end() || !schema->is_object()) return names;
  const auto properties = schema->find("properties");
  if (properties == schema->end() || !properties->is_object()) return names;
  for (const auto& [name, property] : properties->items()) {
    const auto type = property.is_object() ? property.find("type") : property.end();
    if (property.is_object() && type != property.end() && *type == "string") names.insert(name);
  }
  return names;
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
  if (has_channels_) return begin_channel_call(chat, rendered, prompt);
  if (std::exchange(prompt.markup.begins_in_reasoning, false)) {
    append_trusted(rendered, think_->end);
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
  if (!marker.empty()) append_trusted(rendered, marker);
  rendered.text += json;
  prompt.begun = std::string(marker) + json;
  prompt.calls =
      CallRule{.grammar = call_grammar(choosable(chat), form), .ends = named || !choice.parallel};
}

/// Its header is begun, as far as the tool's name, or it is whole.
void ServedModel::begin_channel_call(const Ask::Chat& chat, text::RenderedPrompt& rendered,
                                     Prompt& prompt) const {
  const Json tools = choosable(chat);
  const size_t begin = rendered.text.size();
  append_trusted(rendered, ChannelMarks::kChannel);
  rendered.text += kChannelCall.substr(ChannelMarks::kChannel.size());
  if (tools.size() == 1) {
    rendered.text += tools[0]["function"]["name"].get<std::string>() + " ";
    append_trusted(rendered, ChannelMarks::kConstrain);
    rendered.text += "json";
    append_trusted(rendered, ChannelMarks::kMessage);
  }
  prompt.begun = rendered.text.substr(begin);
  prompt.calls = CallRule{.grammar = channel_call_grammar(tools, tools.size() == 1), .ends = true};
}

/// For tools whose arguments have to fit, when the model calls them of its own accord.
std::optional<CallRule> ServedModel::strict_calls(const Ask::Chat& chat) const {
  if (std::ranges::none_of(chat.tools, is_strict)) return std::nullopt;
  if (has_channels_)
    return CallRule{.grammar = channel_call_grammar(chat.tools, false),
                    .marker = std::string(kChannelCall)};
  if (!json_calls_) return std::nullopt;
  return CallRule{.grammar = call_grammar(chat.tools, {}), .marker = std::string(kCallMarker)};
}

Markup ServedModel::markup_of(const Ask::Chat& chat, const std::string& rendered) const {
  Markup markup;
  markup.has_channels = has_channels_;
  if (think_ != nullptr) {
    markup.think_begin = think_->begin;
    markup.think_end = think_->end;
    const size_t begin = rendered.rfind(think_->begin);
    markup.begins_in_reasoning =
        begin != rendered.npos &&
        rendered.find_first_not_of(" \r\n\t", begin + think_->begin.size()) == rendered.npos;
  }
  markup.calls_tools = chat.tool_choice.mode != ToolChoice::Mode::none && !chat.tools.empty();
  markup.bare_calls = markup.calls_tools && (bare_calls_ || !abilities_.tools);
  for (const Json& tool : chat.tools) {
    const auto function = tool.find("function");
    if (function == tool.end()) continue;
    markup.tool_names.push_back(function->value("name", ""));
    markup.text_arguments.emplace(markup.tool_names.back(), text_arguments(*function));
  }
  return markup;
}

}  // namespace sluice::server
