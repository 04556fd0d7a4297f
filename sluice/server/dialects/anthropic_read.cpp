#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sluice/base/printable.h"
#include "sluice/server/dialects/anthropic.h"
#include "sluice/server/dialects/conversation.h"
#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"
#include "sluice/server/dialects/format.h"
#include "sluice/server/dialects/sampling.h"
#include "sluice/server/dialects/tools.h"

namespace sluice::server {
namespace {

constexpr auto kNeutral = std::to_array<std::string_view>({
    "betas",
    "cache_control",
    "context_management",
    "inference_geo",
    "metadata",
    "service_tier",
    "speed",
});
constexpr auto kRefused = std::to_array<Refused>({
    {"container", "there are no containers here"},
    {"mcp_servers", "other servers are not called from here"},
});
constexpr auto kNeutralOfBlock =
    std::to_array<std::string_view>({"cache_control", "citations", "caller", "context", "title"});
constexpr auto kNeutralOfTool =
    std::to_array<std::string_view>({"allowed_callers", "cache_control", "defer_loading",
                                     "eager_input_streaming", "input_examples"});

/// Claude Code's first system block names its version and a check digit string "cch=1a2b3;" that is another one in
/// each request. Left as it is, no prompt would begin like the one before it.
std::string without_check_digits(std::string text) {
  if (!text.starts_with("x-anthropic-billing-header:")) return text;
  const size_t begin = text.find("cch=");
  if (begin == std::string::npos) return text;
  const size_t end = std::min(text.find(';', begin), text.size());
  std::fill(text.begin() + static_cast<std::ptrdiff_t>(begin) + 4,
            text.begin() + static_cast<std::ptrdiff_t>(end), '0');
  return text;
}

/// A message's blocks as they come, into OpenAI's messages: text and reasoning and calls are one message, each
/// tool_result is one of its own.
class Blocks {
 public:
  Blocks(Ask::Chat& chat, std::string role) : chat_(chat), role_(std::move(role)) {}

  void read(const Json& value, const std::string& path) {
    Fields block(value, path);
    const std::string type = block.required_text("type");
    block.neutral(kNeutralOfBlock);
    if (type == "text") {
      add_text(without_check_digits(block.required_text("text")));
    } else if (type == "thinking") {
      reasoning_ += block.text("thinking").value_or("");
      block.any("signature");  // another server's, or our own empty one
    } else if (type == "redacted_thinking") {
      block.any("data");
    } else if (type == "tool_use") {
      read_call(block);
    } else if (type == "tool_result") {
      read_result(block);
    } else if (type == "document") {
      read_document(block);
    } else {
      refuse_field(path,
                   fmt::format("is of type \"{}\", which cannot be read and is not fetched; "
                               "send text",
                               printable_name(type)),
                   "unsupported_value");
    }
    block.finish();
  }

  void add_text(const std::string& text) {
    if (has_text_) text_ += '\n';
    text_ += text;
    has_text_ = true;
  }

  /// What was read since the last message, as a message.
  void flush() {
    if (!has_text_ && reasoning_.empty() && calls_.empty()) return;
    Json message = make_message(role_, std::move(text_));
    if (!reasoning_.empty()) message["reasoning_content"] = std::move(reasoning_);
    if (!calls_.empty()) message["tool_calls"] = std::move(calls_);
    chat_.messages.push_back(std::move(message));
    text_.clear();
    reasoning_.clear();
    calls_ = Json::array();
    has_text_ = false;
  }

 private:
  void read_call(Fields& block) {
    if (role_ != "assistant") refuse_field(block.path("type"), "tool_use is the assistant's");
    const Json* input = block.any("input");
    if (input && !input->is_object()) refuse_type(*input, block.path("input"), "an object");
    calls_.push_back(make_tool_call(block.required_text("id"), block.required_text("name"),
                                    input ? dump(*input) : ""));
  }

  void read_result(Fields& block) {
    if (role_ != "user") refuse_field(block.path("type"), "tool_result is the user's");
    flush();
    std::string text = read_text_parts(block.any("content"), block.path("content"), {"text"});
    if (block.boolean("is_error").value_or(false)) text = "Error: " + text;
    Json message = make_message("tool", std::move(text));
    message["tool_call_id"] = block.required_text("tool_use_id");
    chat_.messages.push_back(std::move(message));
  }

  void read_document(Fields& block) {
    auto source = block.object("source");
    if (!source || source->text("type") != "text") {
      refuse_field(block.path("source"), "only documents of type text can be read",
                   "unsupported_value");
    }
    add_text(source->required_text("data"));
    source->any("media_type");
    source->finish();
  }

  Ask::Chat& chat_;
  std::string role_;
  std::string text_, reasoning_;
  Json calls_ = Json::array();
  bool has_text_ = false;
};

void read_content(const Json& content, const std::string& path, std::string role, Ask::Chat& chat,
                  const Limits& limits) {
  Blocks blocks(chat, std::move(role));
  if (content.is_string()) {
    blocks.add_text(without_check_digits(content.get<std::string>()));
  } else {
    to_array(content, path, limits.messages);
    for (size_t i = 0; i < content.size(); ++i) blocks.read(content[i], indexed(path, i));
  }
  blocks.flush();
}

void read_messages(Fields& body, Ask::Chat& chat, const Limits& limits) {
  const Json* messages = body.array("messages", limits.messages);
  if (!messages || messages->empty()) refuse_field("messages", "wanted at least one message");
  for (size_t i = 0; i < messages->size(); ++i) {
    Fields message((*messages)[i], indexed("messages", i));
    if (!message.has("role")) refuse_field(message.path("role"), "is missing, wanted a string");
    const auto role = *message.word("role", {"user", "assistant", "system"});
    const Json* content = message.any("content");
    if (!content) refuse_field(message.path("content"), "is missing");
    message.neutral(std::to_array<std::string_view>({"cache_control", "id"}));
    message.finish();
    read_content(*content, message.path("content"), role, chat, limits);
  }
  if (chat.messages.empty()) refuse_field("messages", "hold no text");
  // The assistant's last words are the answer's beginning.
  const Json& last = chat.messages.back();
  chat.continues = last["role"] == "assistant" && !last.contains("tool_calls");
}

void read_tools(Fields& body, Asked& asked, Ask::Chat& chat, const Limits& limits) {
  const Json* tools = body.array("tools", limits.tools);
  for (size_t i = 0; tools && i < tools->size(); ++i) {
    Fields tool((*tools)[i], indexed("tools", i));
    const std::string type = tool.text("type").value_or("custom");
    if (type != "custom") {
      asked.warnings.push_back(fmt::format(
          "tools[{}]: a tool of type {} is its service's, left out", i, printable_name(type)));
      continue;
    }
    const Json* name = tool.any("name");
    if (!name) refuse_field(tool.path("name"), "is missing");
    const Json* description = tool.any("description");
    if (description) to_text(*description, tool.path("description"));
    const Json* schema = read_schema(tool, "input_schema", limits);
    const bool strict = tool.boolean("strict").value_or(false);
    tool.neutral(kNeutralOfTool);
    tool.finish();
    chat.tools.push_back(make_tool(checked_tool_name(*name, tool.path("name")),
                                   description ? *description : Json(), schema, strict));
  }
  auto choice = body.object("tool_choice");
  if (!choice) return;
  const auto type = choice->word("type", {"auto", "any", "tool", "none"});
  using Mode = ToolChoice::Mode;
  chat.tool_choice.mode = type == "any"    ? Mode::required
                          : type == "tool" ? Mode::named
                          : type == "none" ? Mode::none
                                           : Mode::automatic;
  if (type == "tool") chat.tool_choice.name = choice->required_text("name");
  chat.tool_choice.parallel = !choice->boolean("disable_parallel_tool_use").value_or(false);
  choice->any("name");
  choice->finish();
  check_tool_choice(chat, "tool_choice");
}

void read_thinking(Fields& body, Ask& ask, Ask::Chat& chat, const Limits& limits) {
  if (auto thinking = body.object("thinking")) {
    const auto type = thinking->word("type", {"enabled", "disabled", "adaptive", "between_tools"});
    if (type == "enabled") chat.think = true;
    if (type == "disabled") chat.think = false;
    chat.think_budget = thinking->integer("budget_tokens", 1024, limits.max_tokens);
    thinking->any("display");
    thinking->finish();
  }
  if (auto output = body.object("output_config")) {
    if (const auto effort =
            output->word("effort", {"none", "minimal", "low", "medium", "high", "xhigh", "max"})) {
      chat.template_args["reasoning_effort"] = *effort;  // templates without efforts do not look
    }
    if (auto format = output->object("format")) read_flat_format(*format, ask, limits);
    output->any("task_budget");
    output->finish();
  }
  if (auto format = body.object("output_format")) read_flat_format(*format, ask, limits);
}

void read_choosing(Fields& body, Ask& ask, const ReadOptions& options) {
  ask.sampling = options.sampling;
  if (const auto value = body.number("temperature", 0, 1e3)) ask.sampling.temperature = *value;
  if (const auto value = body.number("top_p", 0, 1)) ask.sampling.top_p = std::max(*value, 1e-9);
  if (const auto value = body.integer("top_k", 0, INT32_MAX)) ask.sampling.top_k = *value;
  read_stops(body, "stop_sequences", ask, options.limits);
}

Asked read(const Json& json, const ReadOptions& options, Job job) {
  Asked asked;
  Ask& ask = asked.ask;
  ask.job = job;
  auto& chat = ask.prompt.emplace<Ask::Chat>();
  Fields body(json, "");
  body.neutral(kNeutral);
  body.refuse(kRefused);
  ask.model = body.text("model").value_or("");
  if (const Json* system = body.any("system")) {
    if (system->is_string()) {
      const auto text = without_check_digits(system->get<std::string>());
      if (!text.empty()) chat.messages.push_back(make_message("system", text));
    } else {
      read_content(*system, "system", "system", chat, options.limits);
    }
  }
  read_messages(body, chat, options.limits);
  read_tools(body, asked, chat, options.limits);
  read_thinking(body, ask, chat, options.limits);
  read_choosing(body, ask, options);
  const auto max_tokens = body.integer("max_tokens", 1, INT64_MAX);
  if (!max_tokens && job == Job::answer) {
    refuse_field("max_tokens", "is missing, wanted a number", "missing_required_parameter");
  }
  if (max_tokens) ask.max_tokens = std::min(*max_tokens, options.limits.max_tokens);
  ask.stream = body.boolean("stream").value_or(false) && job == Job::answer;
  body.finish();
  asked.writer = job == Job::count ? anthropic_count_writer() : anthropic_writer(ask);
  return asked;
}

Asked read_answer(const Json& json, const ReadOptions& options) {
  return read(json, options, Job::answer);
}

Asked read_count(const Json& json, const ReadOptions& options) {
  return read(json, options, Job::count);
}

}  // namespace

const Dialect kAnthropicMessages{"anthropic-messages", read_answer, anthropic_error};
const Dialect kAnthropicTokens{"anthropic-tokens", read_count, anthropic_error};

}  // namespace sluice::server
