#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/conversation.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/text_input.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::cli {
namespace {

using Json = nlohmann::ordered_json;
using Span = text::RenderedPrompt::Span;

struct TemplateOptions {
  std::string model;
  PromptOptions prompt;
  std::string text;
  std::string messages;
  std::string tools;
};

struct Request {
  Json messages = Json::array();
  Json tools;
};

Json read_json(const std::string& path) {
  Json json = Json::parse(read_text(path), nullptr, false);
  if (json.is_discarded()) fail(ErrorKind::bad_request, "{}: is not JSON", path);
  return json;
}

/// [{"role", "content"}, ...], or an object with "messages" and perhaps "tools".
Request read_request(const TemplateOptions& o) {
  Request request;
  if (o.messages.empty()) {
    Conversation conversation(o.prompt.system);
    conversation.add("user", o.text);
    request.messages = conversation.messages();
  } else {
    Json file = read_json(o.messages);
    if (file.is_object()) {
      if (file.contains("tools")) request.tools = file["tools"];
      file = file.value("messages", Json());
    }
    const bool known = file.is_array() && std::all_of(file.begin(), file.end(), [](const Json& m) {
                         return m.is_object() && m.contains("role") && m["role"].is_string();
                       });
    if (!known)
      fail(ErrorKind::bad_request, "{}: is no list of messages, each with a \"role\"", o.messages);
    if (!o.prompt.system.empty())
      request.messages.push_back({{"role", "system"}, {"content", o.prompt.system}});
    for (Json& message : file) request.messages.push_back(std::move(message));
  }
  if (!o.tools.empty()) request.tools = read_json(o.tools);
  if (!request.tools.is_null() && !request.tools.is_array())
    fail(ErrorKind::bad_request, "tools are of type {}, wanted a list", request.tools.type_name());
  return request;
}

/// Adds every text that stands in a message's content, in order.
void add_contents(const Json& value, std::vector<std::string>& contents) {
  if (value.is_string()) contents.push_back(value);
  if (!value.is_structured()) return;
  for (const auto& [key, member] : value.items())
    if (key != "role" && key != "type") add_contents(member, contents);
}

/// Where the prompt shows the messages' contents: each the next time that it occurs, if it does. Templates
/// trim them, hence the inner part is looked for.
std::vector<Span> find_contents(const Json& messages, const std::string& prompt) {
  std::vector<std::string> contents;
  add_contents(messages, contents);
  std::vector<Span> found;
  for (const std::string& content : contents) {
    const size_t first = content.find_first_not_of(" \t\r\n");
    if (first == content.npos) continue;
    const size_t size = content.find_last_not_of(" \t\r\n") + 1 - first;
    const size_t from = found.empty() ? 0 : found.back().end;
    const size_t at = prompt.find(content.data() + first, from, size);
    if (at != prompt.npos) found.push_back({at, at + size});
  }
  return found;
}

struct Piece {
  text::Token token = 0;
  std::string text;
  std::string from;  ///< "control", "message" or "template"
};

std::vector<Piece> explain(const text::Tokenizer& tokenizer, const std::string& prompt,
                           const std::vector<text::Token>& tokens,
                           const std::vector<Span>& contents) {
  std::vector<Piece> pieces;
  size_t at = 0;
  for (const text::Token token : tokens) {
    const std::string bytes = tokenizer.token_bytes(token, true);
    // SentencePiece has a space more than the text; a normalizer can change more than that.
    std::string_view seen = bytes;
    if (seen.starts_with(' ') && prompt.compare(at, 1, " ") != 0) seen.remove_prefix(1);
    const size_t end = prompt.compare(at, seen.size(), seen) == 0 ? at + seen.size() : at;
    const bool in_message = std::any_of(contents.begin(), contents.end(), [&](const Span& span) {
      return at < span.end && span.begin < end;
    });
    pieces.push_back({token, bytes,
                      tokenizer.is_special(token) ? "control"
                      : in_message                ? "message"
                                                  : "template"});
    at = end;
  }
  return pieces;
}

void show_template(const TemplateOptions& o, const Globals& globals) {
  const Request request = read_request(o);
  const auto path = engine::ModelStore().resolve(o.model);
  const auto tokenizer = engine::open_tokenizer(path);
  const auto own = engine::open_chat_template(path);
  const ChatFormat format(*tokenizer, own ? &*own : nullptr, o.prompt);
  const text::RenderedPrompt prompt = format.render(request.messages, request.tools);
  const auto pieces = explain(*tokenizer, prompt.text, format.encode(prompt),
                              find_contents(request.messages, prompt.text));
  if (globals.json) {
    nlohmann::json tokens = nlohmann::json::array();
    for (const Piece& piece : pieces)
      tokens.push_back({{"id", piece.token}, {"text", piece.text}, {"from", piece.from}});
    print_json({{"prompt", prompt.text}, {"tokens", tokens}});
    return;
  }
  std::string table = printable_text(prompt.text) + "\n\n";
  for (const Piece& piece : pieces) {
    table += fmt::format("{:>8}  {:<8}  {}\n", piece.token, piece.from,
                         token_piece(*tokenizer, piece.token));
  }
  print(table);
}

}  // namespace

void add_template(CLI::App& app, Globals& globals) {
  CLI::App& command = add_command(
      app, "template", "Show what a chat template makes of messages, and its tokens",
      "sluice template org/chat-model -p \"Why is the sky blue?\" --system \"Be brief.\"\n"
      "sluice template org/chat-model --messages saved-chat.json --json | jq -r .prompt\n"
      "sluice template org/chat-model --messages chat.json --tools tools.json --chat-template "
      "new.jinja");
  const auto o = std::make_shared<TemplateOptions>();
  add_model_argument(command, o->model);
  auto* text = command.add_option("-p,--prompt", o->text, "What the user says");
  text->type_name("TEXT");
  command
      .add_option("--messages", o->messages,
                  "JSON list of messages, or a chat that was saved; - for stdin")
      ->type_name("FILE")
      ->excludes(text);
  command.add_option("--tools", o->tools, "JSON list of tools that the model may call")
      ->type_name("FILE");
  add_prompt_options(command, o->prompt);
  add_json_flag(command, globals);
  command.parse_complete_callback([&command] {
    if (command.count("--prompt") + command.count("--messages") == 0)
      throw CLI::RequiredError("-p or --messages");
  });
  command.callback([o, &globals] { show_template(*o, globals); });
}

}  // namespace sluice::cli
