#include "sluice/server/serving/served_model.h"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/engine/hub/model_store.h"
#include "sluice/engine/logprobs.h"
#include "sluice/server/answers/channel_splitter.h"
#include "sluice/server/answers/matcher_ahead.h"
#include "sluice/server/answers/tool_calls.h"
#include "sluice/server/dialects/dialect.h"
#include "sluice/server/serving/markers.h"

namespace sluice::server {
namespace {

/// How models that fill gaps mark prefix, suffix and what is to come.
struct GapMarkers {
  std::string_view prefix, suffix, middle;
};
constexpr GapMarkers kGapMarkers[] = {
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},
    {"<|fim_begin|>", "<|fim_hole|>", "<|fim_end|>"},
    {"<PRE>", "<SUF>", "<MID>"},
};

/// With a message's mark, what a model with channels writes before its answer's text.
constexpr std::string_view kFinalChannel = "<|channel|>final";
constexpr std::string_view kAnalysisChannel = "<|channel|>analysis<|message|>";

struct GapTokens {
  text::Token prefix, suffix, middle;
};

std::optional<GapTokens> gap_markers(const text::Tokenizer& tokenizer) {
  for (const GapMarkers& markers : kGapMarkers) {
    const auto prefix = tokenizer.token_id(markers.prefix);
    const auto suffix = tokenizer.token_id(markers.suffix);
    const auto middle = tokenizer.token_id(markers.middle);
    if (prefix && suffix && middle) return GapTokens{*prefix, *suffix, *middle};
  }
  return std::nullopt;
}

/// Of the file's name, size and time: it need not be read whole.
std::string digest_of(const std::filesystem::path& file) {
  std::error_code ignored;
  const auto time = std::filesystem::last_write_time(file, ignored).time_since_epoch().count();
  const std::string text = fmt::format("{}\n{}\n{}", file.filename().string(),
                                       std::filesystem::file_size(file, ignored), time);
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::string hex;
  for (const unsigned char byte : digest) hex += fmt::format("{:02x}", byte);
  return hex;
}

int64_t seconds_since_1970(const std::filesystem::path& file) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(file, error);
  if (error) return 0;
  const auto system = std::chrono::file_clock::to_sys(time);
  return std::chrono::duration_cast<std::chrono::seconds>(system.time_since_epoch()).count();
}

/// Under the name that templates with channels look for; they take it or a text before a call, not both.
void name_thinking(Json& messages) {
  for (Json& message : messages) {
    const auto thought = message.find("reasoning_content");
    if (thought == message.end()) continue;
    const bool has_text = !message["content"].get<std::string>().empty();
    if (!has_text || !message.contains("tool_calls")) message["thinking"] = *thought;
  }
}

bool has_token(const text::Tokenizer& tokenizer, std::string_view text) {
  return tokenizer.token_id(text).has_value();
}

}  // namespace

void append_trusted(text::RenderedPrompt& rendered, std::string_view text) {
  const size_t at = rendered.text.size();
  rendered.trusted.push_back({at, at + text.size()});
  rendered.text += text;
}

ServedModel::ServedModel(std::string name, std::shared_ptr<engine::Engine> engine,
                         int64_t usual_answer)
    : engine_(std::move(engine)), usual_answer_(usual_answer) {
  info_.id = std::move(name);
  describe();
  find_markers();
}

void ServedModel::describe() {
  const nn::Config& config = engine_->config();
  const text::Tokenizer& tokenizer = engine_->tokenizer();
  const auto file = engine_->largest_file();
  info_.created = seconds_since_1970(file);
  info_.state = ModelInfo::State::loaded;
  info_.context = engine_->context();
  info_.trained_context = config.max_position_embeddings;
  info_.architecture = config.architecture;
  info_.format = file.extension() == ".gguf" ? "gguf" : "safetensors";
  info_.quantization = engine::quantization_tag(file.filename().string()).value_or("");
  info_.digest = digest_of(file);
  info_.file_bytes = engine_->file_bytes().count;
  info_.resident_bytes = info_.file_bytes;
  info_.n_parameters = engine_->n_parameters();
  info_.vocab_size = config.vocab_size;
  info_.hidden_size = config.hidden_size;
  info_.n_layers = config.n_layers;
  for (const auto& [name, text] : tokenizer.named_tokens()) {
    if (name == "bos_token") info_.bos_token = text;
    if (name == "eos_token") info_.eos_token = text;
  }
  info_.fills_gaps = gap_markers(tokenizer).has_value();
  const text::ChatTemplate* own = engine_->chat_template();
  info_.chats = own != nullptr;
  if (own == nullptr) return;
  info_.chat_template = own->source();
  abilities_ = probe_template([&](const Json& messages, const Json& tools) {
    return own->render(messages, tools, Json::object(), true, tokenizer).text;
  });
  info_.tools = abilities_.tools;
  has_channels_ =
      has_token(tokenizer, ChannelMarks::kChannel) && has_token(tokenizer, ChannelMarks::kMessage);
  for (const ThinkMarks& marks : kThinkMarks) {
    if (think_ == nullptr && !has_channels_ && has_token(tokenizer, marks.token)) think_ = &marks;
  }
  info_.thinks = has_channels_ || think_ != nullptr;
  bare_calls_ = has_token(tokenizer, "<|python_tag|>");
  listed_calls_ = has_token(tokenizer, kCallListMarker);
  json_calls_ = !bare_calls_ && !listed_calls_ && (abilities_.json_calls || !abilities_.tools);
}

/// Control tokens are no text: those that mark a call are made text again, for the splitter.
void ServedModel::find_markers() {
  const text::Tokenizer& tokenizer = engine_->tokenizer();
  std::vector<std::string_view> markers = inner_call_marks();
  for (const ThinkMarks& marks : kThinkMarks)
    markers.insert(markers.end(), {marks.begin, marks.end, marks.token});
  for (const CallFormat& format : call_formats())
    markers.insert(markers.end(), {format.begin, format.end});
  if (has_channels_) {
    using Marks = ChannelMarks;
    markers.insert(markers.end(), {Marks::kStart, Marks::kChannel, Marks::kConstrain,
                                   Marks::kMessage, Marks::kEnd, Marks::kCall, Marks::kReturn});
  }
  for (const std::string_view marker : markers) {
    if (marker.empty()) continue;
    const auto token = tokenizer.token_id(marker);
    if (token && tokenizer.is_special(*token)) markers_.emplace(*token, marker);
  }
}

std::string_view ServedModel::marker(text::Token token) const {
  const auto found = markers_.find(token);
  return found == markers_.end() ? std::string_view() : found->second;
}

ScoredToken ServedModel::scored(const engine::TokenLogprob& token) const {
  return {.id = token.token,
          .bytes = engine_->tokenizer().token_bytes(token.token, true),
          .logprob = token.logprob};
}

std::vector<ScoredToken> ServedModel::scored_prompt(const Prompt& prompt, int n_top) const {
  std::vector<ScoredToken> scored_tokens;
  for (const text::Token token : prompt.tokens)
    scored_tokens.push_back({.id = token, .bytes = engine_->tokenizer().token_bytes(token, true)});
  const auto before_last = std::span(prompt.tokens).first(prompt.tokens.size() - 1);
  if (!before_last.empty())
    engine_->logits(before_last, 0, [&](int64_t position, std::span<const float> logits) {
      ScoredToken& next = scored_tokens[static_cast<size_t>(position) + 1];
      next.logprob = engine::logprob_of(logits, next.id);
      for (const engine::TokenLogprob& other : engine::top_logprobs(logits, n_top))
        next.top.push_back(scored(other));
    });
  if (prompt.has_bos) scored_tokens.erase(scored_tokens.begin());
  return scored_tokens;
}

std::vector<Prompt> ServedModel::prompts_of(const Ask& ask) const {
  check_token_ids(ask, engine_->config().vocab_size);
  std::vector<Prompt> prompts;
  try {
    if (const auto* chat = std::get_if<Ask::Chat>(&ask.prompt)) {
      prompts.push_back(chat_prompt(*chat));
    } else {
      const auto& text = std::get<Ask::Text>(ask.prompt);
      prompts.push_back(text_prompt(text, text.prompt));
      for (const TextPrompt::Given& given : text.more) prompts.push_back(text_prompt(text, given));
    }
  } catch (const Error& error) {
    throw Refusal(400, error.what());
  }
  if (ask.job != Job::answer) return prompts;
  for (Prompt& prompt : prompts) prompt.max_tokens = room_after(ask, std::ssize(prompt.tokens));
  return prompts;
}

const std::shared_ptr<const text::Grammars>& ServedModel::grammars() const {
  std::call_once(grammars_made_, [&] {
    const int64_t n_tokens = engine_->config().vocab_size;
    grammars_ = with_masks_ahead(text::open_grammars(engine_->tokenizer(), n_tokens), n_tokens);
  });
  return grammars_;
}

std::shared_ptr<engine::Constraint> ServedModel::constraint_of(const Format& format,
                                                               const Prompt& prompt) const {
  try {
    auto form = form_of(format, prompt);
    // A call that is wanted is begun behind all thoughts.
    if (!prompt.think_budget || !prompt.begun.empty() || !info_.thinks) return form;
    return make_think_limit(std::move(form), think_limit(prompt), engine_->tokenizer());
  } catch (const Error& error) {
    throw Refusal(400, error.what());
  }
}

std::shared_ptr<engine::Constraint> ServedModel::form_of(const Format& format,
                                                         const Prompt& prompt) const {
  const bool keeps_format = format.kind != Format::Kind::text && prompt.begun.empty();
  if (!keeps_format && !prompt.calls) return nullptr;
  const text::Tokenizer& tokenizer = engine_->tokenizer();
  if (!keeps_format) return make_call_constraint(grammars(), *prompt.calls, tokenizer);
  const Markup& markup = prompt.markup;
  Thinking thinking{.begun = markup.begins_in_reasoning, .ends = {markup.think_end}};
  if (markup.has_channels && !markup.begins_in_text)
    thinking = {.begun = true,
                .ends = {std::string(kFinalChannel), std::string(ChannelMarks::kMessage)}};
  if (think_ != nullptr && !markup.think_end.empty())
    thinking.begin = tokenizer.token_id(think_->token);
  return make_constraint(*grammars(), format, tokenizer, std::move(thinking));
}

ThinkLimit ServedModel::think_limit(const Prompt& prompt) const {
  const Markup& markup = prompt.markup;
  ThinkLimit limit{.tokens = prompt.think_budget.value_or(0),
                   .begun = markup.begins_in_reasoning,
                   .begin = markup.think_begin,
                   .end = markup.think_end};
  std::string then = markup.think_end + "\n\n";
  if (markup.has_channels) {
    limit.begin = kAnalysisChannel;
    limit.end = ChannelMarks::kEnd;
    then = std::string(ChannelMarks::kEnd) + std::string(ChannelMarks::kStart) + "assistant" +
           std::string(kFinalChannel) + std::string(ChannelMarks::kMessage);
  }
  limit.then = engine_->tokenizer().encode(then, {.add_bos = false, .parse_special = true});
  return limit;
}

int64_t ServedModel::room_after(const Ask& ask, int64_t prompt_tokens) const {
  const int64_t context = std::min(ask.context.value_or(info_.context), info_.context);
  const int64_t room = context - prompt_tokens;
  if (room < std::min<int64_t>(ask.max_tokens.value_or(1), 1)) {
    throw Refusal::context_overflow({.context = context,
                                     .prompt_tokens = prompt_tokens,
                                     .max_tokens = ask.max_tokens.value_or(0)});
  }
  return std::min(ask.max_tokens.value_or(usual_answer_ > 0 ? usual_answer_ : room), room);
}

Prompt ServedModel::chat_prompt(const Ask::Chat& chat) const {
  const text::ChatTemplate* own = engine_->chat_template();
  if (own == nullptr) {
    throw Refusal(400, info_.id +
                           " is a base model without a chat template: it completes texts, at "
                           "/v1/completions");
  }
  const bool with_tools = chat.tool_choice.mode != ToolChoice::Mode::none && !chat.tools.empty();
  Json tools = with_tools ? chat.tools : Json();
  Json messages = chat.messages;
  std::string begun;  // of the answer
  if (chat.continues && !messages.empty()) {
    const auto content = messages.back().find("content");
    if (content != messages.back().end() && content->is_string()) begun = *content;
    messages.erase(messages.size() - 1);
  }
  messages = normalise_roles(messages, tools, abilities_);
  if (has_channels_) name_thinking(messages);
  Json args = chat.template_args;
  if (chat.think && !args.contains("enable_thinking")) args["enable_thinking"] = *chat.think;
  text::RenderedPrompt rendered = own->render(messages, tools, args, true, engine_->tokenizer());
  Prompt prompt{.markup = markup_of(chat, rendered.text + begun), .continues_text = !begun.empty()};
  if (has_channels_ && !begun.empty()) {
    prompt.markup.begins_in_text = true;
    append_trusted(rendered, std::string(kFinalChannel) + std::string(ChannelMarks::kMessage));
  }
  rendered.text += begun;
  prompt.think_budget = chat.think_budget;
  if (with_tools) begin_wanted_call(chat, rendered, prompt);
  prompt.tokens = engine_->tokenizer().encode(rendered);
  prompt.text = std::move(rendered.text);
  return prompt;
}

Prompt ServedModel::text_prompt(const Ask::Text& text, const TextPrompt::Given& given) const {
  const text::Tokenizer& tokenizer = engine_->tokenizer();
  Prompt prompt{.continues_text = true};
  const auto* said = std::get_if<std::string>(&given);
  if (text.suffix) {
    prompt.tokens = gap_tokens(text, given);
  } else if (said == nullptr) {
    prompt.tokens = std::get<std::vector<text::Token>>(given);
  } else {
    prompt.tokens = tokenizer.encode(*said, {.add_bos = true, .parse_special = text.raw});
    prompt.has_bos = tokenizer.adds_bos() && prompt.tokens.size() > 1;
  }
  prompt.text = said != nullptr ? *said : tokenizer.decode(prompt.tokens);
  if (prompt.tokens.empty()) throw Refusal::field("prompt", "the prompt is empty");
  return prompt;
}

/// prefix, suffix, middle (Bavarian et al. 2022, arXiv:2207.14255).
std::vector<text::Token> ServedModel::gap_tokens(const Ask::Text& text,
                                                 const TextPrompt::Given& given) const {
  const text::Tokenizer& tokenizer = engine_->tokenizer();
  const auto markers = gap_markers(tokenizer);
  const auto* prefix = std::get_if<std::string>(&given);
  if (!markers) throw Refusal::field("suffix", info_.id + " has no tokens for a gap to be filled");
  if (prefix == nullptr) throw Refusal::field("prompt", "with a suffix the prompt has to be text");
  std::vector<text::Token> tokens;
  const auto append = [&](std::string_view part) {
    const auto more = tokenizer.encode(part, {.add_bos = false, .parse_special = false});
    tokens.insert(tokens.end(), more.begin(), more.end());
  };
  if (tokenizer.adds_bos() && tokenizer.bos()) tokens.push_back(*tokenizer.bos());
  for (const Ask::Text::File& file : text.files) append(file.name + "\n" + file.text + "\n");
  tokens.push_back(markers->prefix);
  append(*prefix);
  tokens.push_back(markers->suffix);
  append(*text.suffix);
  tokens.push_back(markers->middle);
  return tokens;
}

}  // namespace sluice::server
