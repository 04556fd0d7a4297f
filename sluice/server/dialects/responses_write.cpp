#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sluice/server/dialects/errors.h"
#include "sluice/server/dialects/gathered.h"
#include "sluice/server/dialects/responses.h"
#include "sluice/server/dialects/telling.h"

namespace sluice::server {
namespace {

using Kind = Piece::Kind;

Json usage_of(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

Json response_of(const Head& head, const Json& echo, std::string_view status, Json output) {
  Json response{{"id", "resp_" + head.id},
                {"object", "response"},
                {"created_at", head.created},
                {"status", status},
                {"error", nullptr},
                {"incomplete_details", nullptr},
                {"model", head.model},
                {"output", std::move(output)},
                {"usage", nullptr}};
  response.update(echo);
  return response;
}

bool is_cut(const Ending& ending) {
  using Reason = engine::FinishReason;
  return ending.reason == Reason::max_tokens || ending.reason == Reason::context_full;
}

Json finished_response(const Head& head, const Json& echo, const Ending& ending, const Usage& usage,
                       Json output) {
  Json response =
      response_of(head, echo, is_cut(ending) ? "incomplete" : "completed", std::move(output));
  if (is_cut(ending)) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
  response["usage"] = usage_of(usage);
  return response;
}

Json logprobs_of(const std::vector<ScoredToken>& tokens) {
  Json list = Json::array();
  for (const ScoredToken& token : tokens) list.push_back(scored_token(token));
  return list;
}

Json text_part(const std::string& text, const std::vector<ScoredToken>& tokens) {
  return {{"type", "output_text"},
          {"text", text},
          {"annotations", Json::array()},
          {"logprobs", logprobs_of(tokens)}};
}

Json reasoning_part(const std::string& text) {
  return {{"type", "reasoning_text"}, {"text", text}};
}

/// The text that a custom tool's arguments, {"input": "..."}, hold.
std::string custom_input(const std::string& arguments) {
  const Json value = Json::parse(arguments, nullptr, false);
  const bool plain = value.is_object() && value.contains("input") && value["input"].is_string();
  return plain ? value["input"].get<std::string>() : arguments;
}

/// cut: the answer's length ended it.
enum class Stage { announced, done, cut };

/// Makes the items of a response from the parts of an answer.
class ItemMaker {
 public:
  ItemMaker(std::string answer_id, const ResponsesTools& tools)
      : answer_id_(std::move(answer_id)), tools_(&tools) {}

  const ResponsesTool* tool_of(const Gathered::Part& part) const {
    const auto found = std::ranges::find(*tools_, part.tool_name, &ResponsesTool::visible);
    return found == tools_->end() ? nullptr : &*found;
  }

  bool is_custom(const Gathered::Part& part) const {
    const ResponsesTool* tool = tool_of(part);
    return part.kind == Kind::tool_begin && tool && tool->custom;
  }

  std::string id(const Gathered::Part& part, size_t output_index) const {
    const char* prefix = part.kind == Kind::text        ? "msg"
                         : part.kind == Kind::reasoning ? "rs"
                         : is_custom(part)              ? "ctc"
                                                        : "fc";
    return fmt::format("{}_{}{}", prefix, answer_id_, output_index);
  }

  /// With its content, but where it is announced.
  Json item(const Gathered::Part& part, size_t output_index, Stage stage) const {
    const std::string id_text = id(part, output_index);
    const bool done = stage != Stage::announced;
    const char* status = stage == Stage::cut ? "incomplete" : done ? "completed" : "in_progress";
    if (part.kind == Kind::text) {
      return {{"id", id_text},
              {"type", "message"},
              {"status", status},
              {"role", "assistant"},
              {"content", done ? Json::array({text_part(part.text, part.tokens)}) : Json::array()}};
    }
    if (part.kind == Kind::reasoning) {
      return {{"id", id_text},
              {"type", "reasoning"},
              {"status", status},
              {"summary", Json::array()},
              {"content", done ? Json::array({reasoning_part(part.text)}) : Json::array()},
              {"encrypted_content", nullptr}};
    }
    return call_item(part, id_text, status, done);
  }

 private:
  Json call_item(const Gathered::Part& part, const std::string& id_text, const char* status,
                 bool done) const {
    const ResponsesTool* tool = tool_of(part);
    const bool custom = is_custom(part);
    Json item{{"id", id_text},
              {"type", custom ? "custom_tool_call" : "function_call"},
              {"status", status},
              {"call_id", "call_" + part.tool_id},
              {"name", tool ? tool->name : part.tool_name}};
    if (tool && !tool->space.empty()) item["namespace"] = tool->space;
    if (custom) {
      item["input"] = done ? custom_input(part.text) : "";
    } else {
      item["arguments"] = done ? part.text : "";
    }
    return item;
  }

  std::string answer_id_;
  const ResponsesTools* tools_;
};

/// One item is open at most; a piece of another kind finishes it. Each event has the next number.
class ResponsesStream : public Writer {
 public:
  ResponsesStream(Json echo, ResponsesTools tools, std::shared_ptr<KeptResponse> kept)
      : echo_(std::move(echo)),
        tools_(std::move(tools)),
        kept_(std::move(kept)),
        items_("", tools_) {}

  const char* content_type() const override { return kEventStream; }
  bool tells_calls_as_they_come() const override { return true; }
  std::string keep_alive() const override { return kEventComment; }

  void begin(const Head& head, std::string& out) override {
    head_ = head;
    items_ = ItemMaker(head.id, tools_);
    const Json response = response_of(head, echo_, "in_progress", Json::array());
    write(out, "response.created", {{"response", response}});
    write(out, "response.in_progress", {{"response", response}});
  }

  void piece(const Piece& piece, std::string& out) override {
    const bool empty = piece.text.empty() && piece.tokens.empty();
    switch (piece.kind) {
      case Kind::text:
      case Kind::reasoning:
        if (empty) return;
        if (!is_open_ || part_.kind != piece.kind) open(out, {.kind = piece.kind});
        return add_text(out, piece);
      case Kind::tool_begin:
        return open(
            out,
            {.kind = Kind::tool_begin, .tool_id = piece.tool_id, .tool_name = piece.tool_name});
      case Kind::tool_arguments:
        return add_arguments(out, piece.text);
      case Kind::tool_end:
        if (part_.text.empty()) add_arguments(out, kNoArguments);
        return close(out);
    }
  }

  void end(const Ending& ending, std::string& out) override {
    close(out, is_cut(ending) ? Stage::cut : Stage::done);
    ending_ = ending;
  }

  void finish(const Usage& usage, std::string& out) override {
    const Json response = finished_response(head_, echo_, ending_, usage, output_);
    write(out, is_cut(ending_) ? "response.incomplete" : "response.completed",
          {{"response", response}});
    if (kept_) kept_->response = response;
  }

  void fail(const Refusal& refusal, std::string& out) override {
    Json response = response_of(head_, echo_, "failed", output_);
    response["error"] = {{"code", refusal.code.empty() ? "server_error" : refusal.code},
                         {"message", openai_message(refusal)}};
    write(out, "response.failed", {{"response", std::move(response)}});
  }

 private:
  void write(std::string& out, std::string_view type, const Json& rest) {
    Json event{{"type", type}, {"sequence_number", sequence_++}};
    event.update(rest);
    write_event(out, event, type);
  }

  /// An event of the open item. content: of its only part.
  void write_of_item(std::string& out, std::string_view type, const Json& rest,
                     bool content = true) {
    Json event{{"item_id", items_.id(part_, output_.size())}, {"output_index", output_.size()}};
    if (content) event["content_index"] = 0;
    event.update(rest);
    write(out, type, event);
  }

  void open(std::string& out, Gathered::Part part) {
    close(out);
    part_ = std::move(part);
    is_open_ = true;
    write(out, "response.output_item.added",
          {{"output_index", output_.size()},
           {"item", items_.item(part_, output_.size(), Stage::announced)}});
    if (part_.kind == Kind::text) {
      write_of_item(out, "response.content_part.added", {{"part", text_part("", {})}});
    } else if (part_.kind == Kind::reasoning) {
      write_of_item(out, "response.content_part.added", {{"part", reasoning_part("")}});
    }
  }

  void add_text(std::string& out, const Piece& piece) {
    part_.text += piece.text;
    if (piece.kind == Kind::reasoning) {
      return write_of_item(out, "response.reasoning_text.delta", {{"delta", piece.text}});
    }
    part_.tokens.insert(part_.tokens.end(), piece.tokens.begin(), piece.tokens.end());
    write_of_item(out, "response.output_text.delta",
                  {{"delta", piece.text}, {"logprobs", logprobs_of(piece.tokens)}});
  }

  void add_arguments(std::string& out, const std::string& text) {
    part_.text += text;
    if (text.empty() || items_.is_custom(part_)) return;  // its input is inside the arguments
    write_of_item(out, "response.function_call_arguments.delta", {{"delta", text}}, false);
  }

  void close(std::string& out, Stage stage = Stage::done) {
    if (!is_open_) return;
    is_open_ = false;
    Json item = items_.item(part_, output_.size(), stage);
    if (part_.kind == Kind::tool_begin) {
      close_call(out, item);
    } else {
      const Json content = item["content"][0];
      const bool text = part_.kind == Kind::text;
      Json done{{"text", part_.text}};
      if (text) done["logprobs"] = content["logprobs"];
      write_of_item(out, text ? "response.output_text.done" : "response.reasoning_text.done", done);
      write_of_item(out, "response.content_part.done", {{"part", content}});
    }
    write(out, "response.output_item.done", {{"output_index", output_.size()}, {"item", item}});
    output_.push_back(std::move(item));
  }

  void close_call(std::string& out, const Json& item) {
    if (items_.is_custom(part_)) {
      const Json& input = item["input"];
      write_of_item(out, "response.custom_tool_call_input.delta", {{"delta", input}}, false);
      write_of_item(out, "response.custom_tool_call_input.done", {{"input", input}}, false);
    } else {
      write_of_item(out, "response.function_call_arguments.done",
                    {{"name", item["name"]}, {"arguments", part_.text}}, false);
    }
  }

  Json echo_;
  ResponsesTools tools_;
  std::shared_ptr<KeptResponse> kept_;
  ItemMaker items_;
  Head head_;
  Json output_ = Json::array();  // items that are finished
  Gathered::Part part_;          // of the open item
  bool is_open_ = false;
  int64_t sequence_ = 0;
  Ending ending_;
};

}  // namespace

std::unique_ptr<Writer> responses_writer(const Ask& ask, Json echo, ResponsesTools tools,
                                         std::shared_ptr<KeptResponse> kept) {
  if (ask.stream) {
    return std::make_unique<ResponsesStream>(std::move(echo), std::move(tools), std::move(kept));
  }
  return std::make_unique<WholeWriter>(
      1, openai_error,
      [echo = std::move(echo), tools = std::move(tools),
       kept = std::move(kept)](const Gathered& answer) {
        const ItemMaker items(answer.head.id, tools);
        const auto& choice = answer.choices.front();
        Json output = Json::array();
        for (const auto& part : choice.parts) {
          // A call is told once it is whole.
          const bool may_be_cut = &part == &choice.parts.back() && part.kind != Kind::tool_begin;
          const bool cut = may_be_cut && is_cut(choice.ending);
          output.push_back(items.item(part, output.size(), cut ? Stage::cut : Stage::done));
        }
        const Json response =
            finished_response(answer.head, echo, choice.ending, answer.usage, std::move(output));
        if (kept) kept->response = response;
        return dump(response);
      });
}

}  // namespace sluice::server
