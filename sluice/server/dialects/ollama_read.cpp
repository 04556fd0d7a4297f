#include <array>
#include <charconv>

#include "sluice/server/dialects/conversation.h"
#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"
#include "sluice/server/dialects/format.h"
#include "sluice/server/dialects/ollama.h"
#include "sluice/server/dialects/sampling.h"
#include "sluice/server/dialects/tools.h"

namespace sluice::server {
namespace {

// How another engine loads a model and what it keeps when a context is full; ours does neither.
constexpr auto kNeutralOptions = std::to_array<std::string_view>({
    "draft_num_predict",
    "f16_kv",
    "low_vram",
    "main_gpu",
    "mirostat_eta",
    "mirostat_tau",
    "num_batch",
    "num_gpu",
    "num_keep",
    "num_thread",
    "numa",
    "penalize_newline",
    "use_mlock",
    "use_mmap",
    "vocab_only",
});
constexpr auto kNeutral = std::to_array<std::string_view>({"metadata", "shift", "truncate"});

void read_options(Fields& body, Ask& ask, const ReadOptions& options) {
  const Json none = Json::object();
  const Json* given = body.any("options");
  Fields fields(given ? *given : none, "options");
  read_sampling(fields, ask, options);
  read_logit_bias(fields, ask, options.limits);
  read_stops(fields, "stop", ask, options.limits);
  // -1 and -2 are no limit.
  const auto most = fields.integer("num_predict", -2, INT64_MAX);
  if (most && *most >= 0) ask.max_tokens = std::min(*most, options.limits.max_tokens);
  ask.context = fields.integer("num_ctx", 1, INT64_MAX);
  fields.neutral(kNeutralOptions);
  fields.only("mirostat", {0}, "mirostat sampling is not there; leave it out");
  fields.only("tfs_z", {1}, "tail-free sampling is not there; leave it out");
  fields.finish();
}

void read_keep_alive(Fields& body, Ask& ask) {
  const Json* value = body.any("keep_alive");
  if (!value) return;
  if (value->is_number()) {
    ask.keep_alive_seconds = to_number(*value, "keep_alive", -1e12, 1e12);
    return;
  }
  ask.keep_alive_seconds = parse_duration(to_text(*value, "keep_alive"));
  if (!ask.keep_alive_seconds) {
    refuse_field("keep_alive", "wanted seconds or a duration like \"5m\"");
  }
}

/// "" | "json" | a schema
void read_format(Fields& body, Ask& ask, const Limits& limits) {
  const Json* format = body.any("format");
  if (!format) return;
  if (format->is_object()) {
    ask.format = {.kind = Format::Kind::json_schema,
                  .definition = dump(*read_schema(body, "format", limits))};
  } else if (*body.word("format", {"", "json"}) == "json") {
    ask.format.kind = Format::Kind::json;
  }
}

void read_common(Fields& body, Ask& ask, const ReadOptions& options) {
  ask.model = body.text("model").value_or("");
  body.neutral(kNeutral);
  read_options(body, ask, options);
  read_format(body, ask, options.limits);
  read_keep_alive(body, ask);
  read_chat_logprobs(body, ask, options.limits);
  ask.stream = body.boolean("stream").value_or(true);
}

/// Nothing to answer: the model is to be loaded, or to go.
void set_load(Ask& ask) { ask.job = ask.keep_alive_seconds == 0.0 ? Job::unload : Job::load; }

Asked read_chat(const Json& json, const ReadOptions& options) {
  Asked asked;
  Ask& ask = asked.ask;
  auto& chat = ask.prompt.emplace<Ask::Chat>();
  Fields body(json, "");
  read_common(body, ask, options);
  if (body.has("messages")) read_openai_messages(body, "messages", chat, options.limits);
  read_openai_tools(body, chat, asked.warnings, options.limits);
  read_reasoning(body, chat, options.limits);
  body.finish();
  if (chat.messages.empty()) {
    set_load(ask);
  } else {
    const Json& last = chat.messages.back();
    chat.continues = last["role"] == "assistant" && !last.contains("tool_calls");
  }
  asked.writer = ollama_writer(ask, OllamaShape::chat);
  return asked;
}

void read_generate_prompt(Fields& body, Ask& ask, const Limits& limits) {
  const std::string prompt = body.text("prompt").value_or("");
  const std::string system = body.text("system").value_or("");
  const auto suffix = body.text("suffix");
  const bool raw = body.boolean("raw").value_or(false);
  auto& chat = ask.prompt.emplace<Ask::Chat>();
  read_reasoning(body, chat, limits);
  if (prompt.empty() && (!suffix || suffix->empty())) return set_load(ask);
  if (raw || (suffix && !suffix->empty())) {
    if (!system.empty()) refuse_field("system", "has no place in a prompt without a template");
    ask.prompt = Ask::Text{.prompt = prompt, .suffix = suffix, .raw = raw};
    return;
  }
  if (!system.empty()) chat.messages.push_back(make_message("system", system));
  chat.messages.push_back(make_message("user", prompt));
}

Asked read_generate(const Json& json, const ReadOptions& options) {
  Asked asked;
  Ask& ask = asked.ask;
  Fields body(json, "");
  read_common(body, ask, options);
  body.only("images", {Json::array()}, "images cannot be read; send text");
  body.only("template", {""}, "the model's own template is used; send raw to do without");
  body.only("context", {Json::array()}, "is not kept; send the conversation to /api/chat");
  read_generate_prompt(body, ask, options.limits);
  body.finish();
  asked.writer = ollama_writer(ask, OllamaShape::generate);
  return asked;
}

}  // namespace

std::optional<double> parse_duration(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  double seconds = 0;
  while (!text.empty()) {
    double number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    const size_t length = std::min(text.find_first_of("0123456789."), text.size());
    const std::string_view unit = text.substr(0, length);
    if (unit.empty()) {
      if (seconds != 0 || !text.empty()) return std::nullopt;
      seconds = number;
      break;
    }
    const double factor = unit == "ms"   ? 1e-3
                          : unit == "s"  ? 1
                          : unit == "m"  ? 60
                          : unit == "h"  ? 3600
                          : unit == "us" ? 1e-6
                          : unit == "ns" ? 1e-9
                                         : 0;
    if (factor == 0) return std::nullopt;
    seconds += number * factor;
    text.remove_prefix(length);
  }
  if (!(seconds < 1e12)) return std::nullopt;
  return negative ? -seconds : seconds;
}

const Dialect kOllamaChat{"ollama-chat", read_chat, ollama_error};
const Dialect kOllamaGenerate{"ollama-generate", read_generate, ollama_error};

}  // namespace sluice::server
