#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sluice/decode/sampler.h"
#include "sluice/engine/engine.h"

namespace sluice::engine {

/// What to generate. `tokens` is the whole timeline so far: what a session already holds of it is not
/// computed again.
struct Request {
  std::vector<text::Token> tokens;
  int64_t max_tokens = 512;
  decode::SamplerConfig sampling;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  bool continues_text = false;  ///< the answer goes on where the prompt ends: its first space stays
  /// Set it from anywhere, also from a signal handler, to end the generation within a layer.
  const std::atomic<bool>* cancel = nullptr;
};

/// One token as it comes. `text` may be empty: part of a character, or held back for a stop string.
struct Event {
  text::Token token = 0;
  std::string text;
};

enum class FinishReason { eos, stop_string, max_tokens, context_full, cancelled };
std::string_view to_string(FinishReason reason);

struct Result {
  std::string text;
  std::vector<text::Token> tokens;  ///< generated ones, without the end-of-sequence token
  int64_t prompt_tokens = 0;
  int64_t reused_tokens = 0;   ///< of the prompt, found in the session's KV
  double prefill_seconds = 0;  ///< until the first token was chosen
  double decode_seconds = 0;   ///< from then to the end
  std::optional<residency::StreamStatistics>
      streaming;  ///< what this request cost; unset where nothing is streamed
  FinishReason finish_reason = FinishReason::eos;

  double prefill_tps() const;  ///< computed prompt tokens per second
  double decode_tps() const;   ///< tokens after the first, per second
};

/// One token timeline with its keys and values. Use from one thread at a time.
class Session {
 public:
  explicit Session(Engine& engine);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Calls on_event (on the engine's thread) for each token; it may call the engine, but not this session. Throws
  /// Error(bad_request) for an empty prompt, one longer than the context, or ids outside the vocabulary; after any
  /// other error the session starts anew.
  Result generate(const Request& request, const std::function<void(const Event&)>& on_event);

  /// Tokens whose keys and values are held.
  const std::vector<text::Token>& tokens() const;
  void reset();

 private:
  struct State;
  class Generation;
  int64_t reuse(const std::vector<text::Token>& wanted);
  Engine& engine_;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::engine
