#include "sluice/server/dialects/errors.h"

#include <fmt/format.h>

#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"

namespace sluice::server {
namespace {

std::string_view openai_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string_view anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
    case 529:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

std::string overflow_text(const Refusal::Overflow& overflow) {
  return fmt::format(
      "This model's maximum context length is {} tokens. However, you requested {} tokens ({} in "
      "the messages, {} in the completion). Please reduce the length of the messages or "
      "completion.",
      overflow.context, overflow.prompt_tokens + overflow.max_tokens, overflow.prompt_tokens,
      overflow.max_tokens);
}

}  // namespace

std::string openai_message(const Refusal& refusal) {
  return refusal.overflow ? overflow_text(*refusal.overflow) : refusal.what();
}

Json openai_error_object(const Refusal& refusal) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  return {{"message", openai_message(refusal)},
          {"type", openai_type(refusal.status)},
          {"param", or_null(refusal.param)},
          {"code", or_null(refusal.code)}};
}

Json anthropic_error_object(const Refusal& refusal) {
  std::string message = refusal.what();
  if (const auto& overflow = refusal.overflow) {
    // Claude Code compacts its conversation when it reads this sentence.
    message = overflow->prompt_tokens >= overflow->context
                  ? fmt::format("prompt is too long: {} tokens > {} maximum",
                                overflow->prompt_tokens, overflow->context)
                  : fmt::format(
                        "input length and `max_tokens` exceed context limit: {} + {} > {}, "
                        "decrease input length or `max_tokens` and try again",
                        overflow->prompt_tokens, overflow->max_tokens, overflow->context);
  }
  return {{"type", anthropic_type(refusal.status)}, {"message", std::move(message)}};
}

std::string openai_error(const Refusal& refusal, std::string_view) {
  return dump({{"error", openai_error_object(refusal)}});
}

std::string anthropic_error(const Refusal& refusal, std::string_view request_id) {
  return dump({{"type", "error"},
               {"error", anthropic_error_object(refusal)},
               {"request_id", request_id.empty() ? Json() : Json(request_id)}});
}

std::string ollama_error(const Refusal& refusal, std::string_view) {
  return dump({{"error", openai_message(refusal)}});
}

}  // namespace sluice::server
