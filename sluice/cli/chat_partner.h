#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "sluice/engine/request.h"

namespace sluice::cli {

/// What a partner said.
struct ChatAnswer {
  std::string text = {};
  engine::FinishReason finish_reason = engine::FinishReason::eos;
  int64_t prompt_tokens = 0, reused_tokens = 0, n_generated = 0;
  double prefill_tps = 0, decode_tps = 0;  ///< tokens per second
};

/// With whom one talks in a chat: a model of this program, or a server.
class ChatPartner {
 public:
  virtual ~ChatPartner() = default;
  /// messages: the conversation, [{"role", "content"}, ...]. Calls on_text as the answer comes. Throws Error.
  virtual ChatAnswer answer(const nlohmann::ordered_json& messages,
                            const std::function<void(std::string_view)>& on_text,
                            const std::atomic<bool>& cancel) = 0;
  /// The conversation begins anew.
  virtual void reset() {}
  /// What to know before the first word; empty: nothing.
  virtual std::string greeting() const { return ""; }
  /// For the status line, and for /stats.
  virtual std::string status(double tokens_per_second) const = 0;
  virtual std::string stats(const ChatAnswer& last) const = 0;
};

}  // namespace sluice::cli
