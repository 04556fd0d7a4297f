#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sluice/base/printable.h"
#include "sluice/server/dialects/conversation.h"
#include "sluice/server/dialects/responses.h"
#include "sluice/server/dialects/tools.h"

namespace sluice::server {
namespace {

constexpr auto kNeutralOfItem = std::to_array<std::string_view>(
    {"id", "status", "phase", "end_turn", "created_by",
     "internal_chat_message_metadata_passthrough", "metadata", "execution", "caller"});
// What services of OpenAI did, or a client noted for itself: the model here has no use for it.
constexpr auto kPassedOver = std::to_array<std::string_view>({
    "code_interpreter_call",
    "compaction",
    "compaction_summary",
    "file_search_call",
    "ghost_snapshot",
    "image_generation_call",
    "other",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
});

/// Items into messages; reasoning belongs to the assistant's message that comes next.
class Items {
 public:
  Items(Asked& asked, const Limits& limits)
      : asked_(asked), messages_(std::get<Ask::Chat>(asked.ask.prompt).messages), limits_(limits) {}

  void read(const Json& value, const std::string& path) {
    Fields item(value, path);
    const std::string type = item.text("type").value_or("message");
    if (std::ranges::find(kPassedOver, type) != kPassedOver.end()) {
      asked_.warnings.push_back(fmt::format("{}: {} is passed over", path, type));
      return;
    }
    item.neutral(kNeutralOfItem);
    if (type == "message") {
      read_message(item);
    } else if (type == "reasoning") {
      read_reasoning(item);
    } else if (type == "function_call") {
      const auto space = item.text("namespace").value_or("");
      add_call(item, visible_name(space, item.required_text("name")),
               item.text("arguments").value_or(""));
    } else if (type == "custom_tool_call") {
      const Json input{{"input", item.text("input").value_or("")}};
      const auto space = item.text("namespace").value_or("");
      add_call(item, visible_name(space, item.required_text("name")), dump(input));
    } else if (type == "local_shell_call") {
      const Json* action = item.any("action");
      add_call(item, "local_shell", action ? dump(*action) : "");
    } else if (type == "function_call_output" || type == "custom_tool_call_output" ||
               type == "local_shell_call_output") {
      read_output(item);
    } else {
      refuse_field(path,
                   fmt::format("is of type \"{}\", which is not known here; send the text itself",
                               printable_name(type)),
                   "unsupported_value");
    }
    item.finish();
  }

 private:
  void read_message(Fields& item) {
    if (!item.has("role")) refuse_field(item.path("role"), "is missing, wanted a string");
    auto role = *item.word("role", {"system", "developer", "user", "assistant"});
    if (role == "developer") role = "system";
    Json message = make_message(role, read_text_parts(item.any("content"), item.path("content"),
                                                      {"input_text", "output_text", "text"}));
    if (role == "assistant") add_reasoning(message);
    messages_.push_back(std::move(message));
  }

  void read_reasoning(Fields& item) {
    item.neutral(std::to_array<std::string_view>({"summary", "encrypted_content"}));
    reasoning_ +=
        read_text_parts(item.any("content"), item.path("content"), {"reasoning_text", "text"});
  }

  void add_reasoning(Json& message) {
    if (!reasoning_.empty()) message["reasoning_content"] = std::move(reasoning_);
    reasoning_.clear();
  }

  void add_call(Fields& item, const std::string& name, const std::string& arguments) {
    const std::string id = item.text("call_id").value_or("");
    append_tool_call(messages_, make_tool_call(id, name, arguments));
    if (!messages_.back().contains("reasoning_content")) add_reasoning(messages_.back());
  }

  void read_output(Fields& item) {
    Json message = make_message("tool", read_text_parts(item.any("output"), item.path("output"),
                                                        {"input_text", "output_text", "text"}));
    message["tool_call_id"] = item.text("call_id").value_or("");
    item.any("name");
    item.any("success");
    messages_.push_back(std::move(message));
  }

  Asked& asked_;
  Json& messages_;
  const Limits& limits_;
  std::string reasoning_;
};

/// A tool's type; its function or custom form goes to `asked`, and its names to `tools`.
void read_tool(const Json& value, const std::string& path, const std::string& space, Asked& asked,
               ResponsesTools& tools, const Limits& limits) {
  auto& chat = std::get<Ask::Chat>(asked.ask.prompt);
  Fields tool(value, path);
  const std::string type = tool.text("type").value_or("function");
  if (type == "mcp") refuse_field(path, "an mcp tool is a server to call, which is not done");
  Json known;
  if (type == "function") {
    known = read_function_tool(tool, limits);
  } else if (type == "custom") {
    known = tool_of_custom(tool, limits);
  } else if (type == "namespace" && space.empty()) {
    const std::string name = tool.required_text("name");
    const Json* nested = tool.array("tools", limits.tools);
    for (size_t i = 0; nested && i < nested->size(); ++i) {
      read_tool((*nested)[i], indexed(tool.path("tools"), i), name, asked, tools, limits);
    }
    tool.any("description");
    tool.finish();
    return;
  } else {
    asked.warnings.push_back(fmt::format(
        "{}: a tool of type {} is run by its own service, left out", path, printable_name(type)));
    return;
  }
  auto name = known["function"]["name"].get<std::string>();
  auto visible = visible_name(space, name);
  known["function"]["name"] = visible;
  chat.tools.push_back(std::move(known));
  tools.push_back({std::move(visible), std::move(name), space, type == "custom"});
}

}  // namespace

std::string visible_name(const std::string& space, const std::string& name) {
  if (space.empty()) return name;
  const bool joined = space.ends_with('_') || name.starts_with('_');
  return space + (joined ? "" : "__") + name;
}

ResponsesTools read_responses_tools(Fields& body, Asked& asked, const Limits& limits) {
  auto& chat = std::get<Ask::Chat>(asked.ask.prompt);
  ResponsesTools tools;
  const Json* list = body.array("tools", limits.tools);
  for (size_t i = 0; list && i < list->size(); ++i) {
    read_tool((*list)[i], indexed("tools", i), "", asked, tools, limits);
  }
  read_tool_choice(body, chat, limits);
  return tools;
}

void read_responses_input(Fields& body, Asked& asked, const Limits& limits) {
  const Json* input = body.any("input");
  if (!input) refuse_field("input", "is missing", "missing_required_parameter");
  auto& messages = std::get<Ask::Chat>(asked.ask.prompt).messages;
  if (input->is_string()) {
    const auto text = input->get<std::string>();
    if (!text.empty()) messages.push_back(make_message("user", text));
    return;
  }
  to_array(*input, "input", limits.messages);
  Items items(asked, limits);
  for (size_t i = 0; i < input->size(); ++i) items.read((*input)[i], indexed("input", i));
}

Json conversation_behind(const KeptResponse& kept) {
  Asked asked;
  asked.ask.prompt.emplace<Ask::Chat>().messages = kept.messages;
  const Json& output = kept.response["output"];
  const Limits limits;
  Items items(asked, limits);
  for (size_t i = 0; i < output.size(); ++i) items.read(output[i], indexed("output", i));
  return std::get<Ask::Chat>(asked.ask.prompt).messages;
}

void go_on_with(Ask::Chat& chat, const Json& conversation) {
  chat.messages.insert(chat.messages.begin() + (chat.has_instructions ? 1 : 0),
                       conversation.begin(), conversation.end());
}

Json conversation_of(const Ask::Chat& chat) {
  Json messages = chat.messages;
  if (chat.has_instructions) messages.erase(size_t{0});
  return messages;
}

}  // namespace sluice::server
