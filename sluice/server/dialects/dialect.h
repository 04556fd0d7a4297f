#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/decode/sampler.h"
#include "sluice/io/formats/json_excess.h"
#include "sluice/server/ask.h"

namespace sluice::server {

/// The most that one request may ask for. Above: a 400 that names the field.
struct Limits {
  io::JsonBounds json = {.depth = 64, .keys = 4096, .values = size_t{1} << 19};
  size_t messages = 16384;
  size_t tools = 1024;
  size_t schema_bytes = 256 * 1024;  ///< of one schema or grammar
  size_t stops = 64;
  size_t stop_bytes = 1024;  ///< of one stop string
  size_t logit_biases = 4096;
  int n = 32;
  size_t prompts = 128;  ///< of one request
  int top_logprobs = 20;
  int64_t max_tokens = int64_t{1} << 32;
  size_t embedding_inputs = 2048;
};

/// What reading a request depends on beside the request.
struct ReadOptions {
  Limits limits = {};
  decode::SamplerConfig sampling = {};  ///< what a request that names no options has
};

/// A response that later requests may go on with, or ask for again.
struct KeptResponse {
  Json messages = Json::array();  ///< the conversation before it, without what held for it alone
  Json response = {};             ///< as it was told; null until it has ended
};

/// A request understood.
struct Asked {
  Ask ask = {};
  std::unique_ptr<Writer> writer = {};  ///< tells this answer, as a stream or whole, as was asked
  std::vector<std::string> warnings =
      {};  ///< what was left out without harm; for a header and the log
  std::shared_ptr<KeptResponse> kept = {};  ///< filled while it is answered; null: it is not kept
};

/// One API's way to ask for an answer and to be told it. Reading and writing are pure: no network, no model.
struct Dialect {
  std::string_view name;
  /// Throws Refusal naming the first field that is wrong, out of range, unknown or cannot be honoured.
  Asked (*read)(const Json& body, const ReadOptions& options);
  /// The body of an answer with refusal.status, as JSON.
  std::string (*error_body)(const Refusal& refusal, std::string_view request_id);
};

extern const Dialect kOpenAiChat, kOpenAiChatTokens;  // /v1/chat/completions[/input_tokens]
extern const Dialect kOpenAiCompletions;              // /v1/completions
extern const Dialect kMistralFim;                     // /v1/fim/completions
extern const Dialect kOpenAiResponses, kOpenAiResponsesTokens;  // /v1/responses[/input_tokens]
extern const Dialect kAnthropicMessages, kAnthropicTokens;      // /v1/messages[/count_tokens]
extern const Dialect kOllamaChat, kOllamaGenerate;              // /api/chat, /api/generate
extern const Dialect kLmStudioChat, kLmStudioCompletions;       // /api/v0/chat/completions, ...
extern const Dialect kLlamaCompletion, kLlamaInfill;            // /completion, /infill
extern const Dialect kLlamaApplyTemplate;                       // /apply-template

/// {"error": {"message", "type", "param", "code"}}; also for routes that no dialect has.
std::string openai_error(const Refusal& refusal, std::string_view request_id);
/// {"type": "error", "error": {"type", "message"}, "request_id"}
std::string anthropic_error(const Refusal& refusal, std::string_view request_id);
/// {"error": "text"}
std::string ollama_error(const Refusal& refusal, std::string_view request_id);

/// A body's JSON, whatever its Content-Type says. Throws Refusal (400): no JSON, no object, too deep, too many keys.
Json parse_body(std::string_view bytes, const Limits& limits);

/// What a conversation is behind a response. Throws nothing for a response that was told here.
Json conversation_behind(const KeptResponse& kept);
/// Has the request's messages follow those of that conversation, behind its own instructions.
void go_on_with(Ask::Chat& chat, const Json& conversation);
/// The messages without what holds for this answer alone.
Json conversation_of(const Ask::Chat& chat);

/// Token ids that a request brought, once its model is known. Throws Refusal naming the field whose id is not below
/// vocab_size.
void check_token_ids(const Ask& ask, int64_t vocab_size);

}  // namespace sluice::server
