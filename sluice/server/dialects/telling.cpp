#include "sluice/server/dialects/telling.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>

#include "sluice/server/dialects/fields.h"
#include "sluice/text/utf8.h"

namespace sluice::server {
namespace {

/// JSON has no infinity; a token that was forbidden has a probability of 0.
double finite_logprob(float logprob) {
  return std::isfinite(logprob) ? static_cast<double>(logprob) : -9999.0;
}

Json byte_list(const std::string& bytes) {
  Json list = Json::array();
  for (const char c : bytes) list.push_back(static_cast<unsigned char>(c));
  return list;
}

double per_second(int64_t n, double seconds) {
  return seconds > 0 ? static_cast<double>(n) / seconds : 0;
}

}  // namespace

void write_event(std::string& out, const Json& data, std::string_view name) {
  if (!name.empty()) fmt::format_to(std::back_inserter(out), "event: {}\n", name);
  fmt::format_to(std::back_inserter(out), "data: {}\n\n", dump(data));
}

std::string_view openai_finish_reason(const Ending& ending) {
  using Reason = engine::FinishReason;
  if (ending.reason == Reason::max_tokens || ending.reason == Reason::context_full) return "length";
  return ending.called_tools ? "tool_calls" : "stop";
}

Json openai_usage(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"completion_tokens_details",
           {{"reasoning_tokens", usage.reasoning_tokens},
            {"accepted_prediction_tokens", usage.right_guesses},
            {"rejected_prediction_tokens", usage.guessed_tokens - usage.right_guesses}}}};
}

Json timings(const Usage& usage) {
  const int64_t computed = usage.prompt_tokens - usage.cached_tokens;
  const auto each_ms = [](double seconds, int64_t n) {
    return n > 0 ? 1e3 * seconds / static_cast<double>(n) : 0;
  };
  Json timings{{"cache_n", usage.cached_tokens},
               {"prompt_n", computed},
               {"prompt_ms", 1e3 * usage.prefill_seconds},
               {"prompt_per_token_ms", each_ms(usage.prefill_seconds, computed)},
               {"prompt_per_second", per_second(computed, usage.prefill_seconds)},
               {"predicted_n", usage.completion_tokens},
               {"predicted_ms", 1e3 * usage.decode_seconds},
               {"predicted_per_token_ms", each_ms(usage.decode_seconds, usage.completion_tokens)},
               {"predicted_per_second", per_second(usage.completion_tokens, usage.decode_seconds)}};
  if (usage.guessed_tokens > 0) {  // else llama-server has none of them either
    timings["draft_n"] = usage.guessed_tokens;
    timings["draft_n_accepted"] = usage.right_guesses;
  }
  if (usage.pruned_from > 0)
    timings["pruned"] = {{"kept", usage.pruned_to}, {"of", usage.pruned_from}};
  return timings;
}

std::string shown_token(const ScoredToken& token) {
  text::Utf8Stream stream;
  std::string text = stream.push(token.bytes);
  return text + stream.finish();
}

Json scored_token(const ScoredToken& token, bool with_top) {
  Json entry{{"token", shown_token(token)},
             {"logprob", token.logprob ? Json(finite_logprob(*token.logprob)) : Json()},
             {"bytes", byte_list(token.bytes)}};
  if (with_top) {
    Json top = Json::array();
    for (const ScoredToken& other : token.top) top.push_back(scored_token(other, false));
    entry["top_logprobs"] = std::move(top);
  }
  return entry;
}

Json chat_logprobs(const std::vector<ScoredToken>& tokens) {
  Json content = Json::array();
  for (const ScoredToken& token : tokens) content.push_back(scored_token(token));
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

std::string rfc3339(int64_t seconds, int64_t microseconds) {
  // Years of five digits are none of RFC 3339's.
  const auto time = static_cast<std::time_t>(std::clamp<int64_t>(seconds, 0, 253402300799));
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06d}Z", fmt::gmtime(time), microseconds);
}

size_t n_characters(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace sluice::server
