#pragma once

#include <string>
#include <string_view>

#include "sluice/server/ask.h"

namespace sluice::server {

/// One server-sent event: "data: {...}\n\n", with "event: name\n" before it where there is a name.
void write_event(std::string& out, const Json& data, std::string_view name = {});
inline constexpr const char* kEventStream = "text/event-stream";
/// A comment, which every reader of events passes over.
inline constexpr const char* kEventComment = ": keep-alive\n\n";

/// OpenAI's words: stop, length, tool_calls.
std::string_view openai_finish_reason(const Ending& ending);

/// {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", ...}
Json openai_usage(const Usage& usage);
/// llama-server's, which Open WebUI shows: {"prompt_n", "prompt_ms", "predicted_n", "predicted_per_second", ...}
Json timings(const Usage& usage);

/// Log probabilities as a chat has them: {"content": [{"token", "logprob", "bytes", "top_logprobs"}], "refusal": null}.
Json chat_logprobs(const std::vector<ScoredToken>& tokens);
/// One token's entry of it.
Json scored_token(const ScoredToken& token, bool with_top = true);
/// A token as text: part of a character is U+FFFD.
std::string shown_token(const ScoredToken& token);

/// "2026-11-28T09:30:00.000000Z": six digits are what older Pythons read.
std::string rfc3339(int64_t seconds, int64_t microseconds = 0);

/// Characters of UTF-8.
size_t n_characters(std::string_view text);

}  // namespace sluice::server
