#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace sluice::server {

/// Why a request is not answered. Each dialect tells it in its own shape (Dialect::error_body).
class Refusal : public std::runtime_error {
 public:
  Refusal(int http_status, const std::string& message)
      : std::runtime_error(message), status(http_status) {}

  int status;              ///< of HTTP: 400, 401, 403, 404, 405, 413, 429, 500, 501, 503
  std::string param = {};  ///< the field at fault: "messages[2].content"; empty: none
  std::string code = {};   ///< for programs: "context_length_exceeded"; empty: none
  std::optional<int> retry_after = std::nullopt;  ///< seconds

  /// What does not fit the context: agents shorten their conversation when they recognise it, and send it again
  /// and again when they do not, so each dialect words it itself.
  struct Overflow {
    int64_t context = 0, prompt_tokens = 0, max_tokens = 0;
  };
  std::optional<Overflow> overflow = std::nullopt;

  static Refusal field(std::string param, const std::string& message,
                       std::string code = "invalid_value") {
    Refusal refusal(400, message);
    refusal.param = std::move(param);
    refusal.code = std::move(code);
    return refusal;
  }
  /// max_tokens: those asked for; 0 when the prompt alone is too long.
  static Refusal context_overflow(Overflow overflow) {
    Refusal refusal(400, "the prompt does not fit the context");
    refusal.code = "context_length_exceeded";
    refusal.overflow = overflow;
    return refusal;
  }
};

}  // namespace sluice::server
