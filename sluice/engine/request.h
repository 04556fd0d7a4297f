#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/decode/drafter.h"
#include "sluice/decode/sampler.h"
#include "sluice/models/pooling.h"
#include "sluice/residency/store/weights.h"
#include "sluice/text/tokenizer.h"

namespace sluice::engine {

/// What may follow, decided token by token (a grammar, or somebody's own sampler). Belongs to one generation; called on the engine's thread and
/// its stream's, never on both at once.
class Constraint {
 public:
  virtual ~Constraint() = default;
  /// Sets the logits of all tokens that may not come next to -infinity; may change the others. What it throws ends the
  /// generation. logits: float32 [vocab_size].
  virtual void mask(std::span<float> logits) = 0;
  /// Goes on after `token`. False when nothing more may follow: the text is complete.
  virtual bool accept(text::Token token) = 0;
};

/// What to generate. `tokens` is the whole timeline so far: what is already held of it is not computed again.
struct Request {
  std::vector<text::Token> tokens;
  int64_t max_tokens = 512;
  decode::SamplerConfig sampling;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  bool continues_text = false;  ///< the answer goes on where the prompt ends: its first space stays
  /// Set it from anywhere, also from a signal handler, to end the generation within a layer.
  const std::atomic<bool>* cancel = nullptr;

  /// Each token comes with its log probability and those of so many best ones; unset: without.
  std::optional<int> top_logprobs = std::nullopt;
  std::shared_ptr<Constraint> constraint = nullptr;  ///< null: anything may follow
  std::string client = {};                           ///< whose it is: clients get equal shares
  std::string cache_salt = {};  ///< what was computed for requests with another one is not used
  bool uses_disk = false;       ///< what is computed may be kept in the disk cache, and found there
  /// Text that the answer may repeat, for guesses at it (OpenAI's `prediction`).
  std::vector<text::Token> prediction = {};
  std::shared_ptr<decode::Drafter> drafter = nullptr;  ///< null: the engine's own
  /// Nothing is generated: what the model computes of `tokens` becomes Result::vector, and is not kept for others.
  std::optional<models::Pooling> pooling = std::nullopt;
};

struct TokenLogprob {
  text::Token token = 0;
  float logprob = 0;  ///< natural logarithm of its probability before sampling options change it
};

/// One token as it comes. `text` may be empty: part of a character, or held back for a stop string.
struct Event {
  text::Token token = 0;  ///< -1: the rest of the text, at its end
  std::string text;
  std::optional<float> logprob = std::nullopt;  ///< with Request::top_logprobs
  std::vector<TokenLogprob> top = {};           ///< best first
};

/// What became of guesses at an answer's tokens.
struct Drafted {
  int64_t tokens = 0, accepted = 0;
  std::string_view off_because = {};  ///< why none were made; empty: they might be
};

enum class FinishReason { eos, stop_string, max_tokens, context_full, cancelled };
std::string_view to_string(FinishReason reason);

/// Of a prompt that was pruned, the tokens whose keys and values stayed.
struct Pruned {
  int64_t kept = 0, of = 0;
};

struct Result {
  std::string text;
  std::vector<text::Token> tokens;  ///< generated ones, without the end-of-sequence token
  int64_t prompt_tokens = 0;
  int64_t reused_tokens = 0;   ///< of the prompt, found in keys and values that were held
  double prefill_seconds = 0;  ///< until the first token was chosen
  double decode_seconds = 0;   ///< from then to the end
  std::optional<residency::StreamStatistics>
      streaming;  ///< what this request cost; unset where nothing is streamed
  FinishReason finish_reason = FinishReason::eos;
  std::string stop_string = {};  ///< which one ended it, with FinishReason::stop_string
  double queued_seconds = 0;     ///< before the prompt's first step
  Drafted drafted = {};
  std::optional<Pruned> pruned = std::nullopt;  ///< unset: all of them did
  int64_t n_held =
      0;  ///< of the timeline, tokens whose keys and values were there at the end, or before they were pruned

  std::vector<float> vector = {};  ///< with Request::pooling: [hidden_size], of length 1

  double prefill_tps() const;  ///< computed prompt tokens per second
  double decode_tps() const;   ///< tokens after the first, per second
};

}  // namespace sluice::engine
