#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "sluice/decode/pooler.h"
#include "sluice/decode/sampler.h"
#include "sluice/decode/stepper.h"
#include "sluice/decode/stop.h"
#include "sluice/engine/draft_governor.h"
#include "sluice/engine/generation.h"
#include "sluice/engine/guess_maker.h"
#include "sluice/text/tokenizer.h"

namespace sluice::engine {

/// One request on its way: its timeline, how the next token is chosen, and what its listener is told.
///
/// waiting -> active: it has keys and values, if only of nothing -> ended: the listener was told. An active one that
/// is preempted waits again, and computes its timeline anew, or goes on where it was put aside.
class Sequence {
 public:
  using Clock = std::chrono::steady_clock;

  struct Limits {
    int64_t context = 0;  ///< most tokens of its timeline
    int64_t vocab_size = 0;
    int64_t snap_kv = 0;  ///< EngineOptions::snap_kv
  };

  /// tokenizer: outlives it.
  Sequence(Request request, std::shared_ptr<Listener> listener, const text::Tokenizer& tokenizer,
           const Limits& limits);

  // From any thread.
  void cancel() { cancelled_ = true; }
  void set_paused(bool paused) { paused_ = paused; }
  bool is_cancelled() const;
  bool is_paused() const { return paused_; }

  // The rest on the engine's thread.
  const Request& request() const { return request_; }
  const std::vector<text::Token>& timeline() const { return timeline_; }
  bool ended() const { return ended_; }
  bool is_active() const { return kv_.has_value(); }
  nn::KvCache& kv() { return *kv_; }

  /// Its keys and values, of the first tokens of the timeline.
  void activate(nn::KvCache kv);
  /// Lets go of them, while no step uses them. One that has not ended computes them again.
  void release();
  /// The same, but its keys and values stay, and are spilled.
  void put_aside();
  /// Those, for activate().
  std::optional<nn::KvCache> take_back() { return std::exchange(aside_, std::nullopt); }
  bool is_aside() const { return aside_.has_value(); }
  /// Has the maker's guesses follow it from here on: it was just activated.
  void begin_guesses(GuessMaker& maker);
  /// A step of it is over: whoever follows it may know.
  void tell_guesses();

  /// Tokens of the timeline that have no keys and values, and no step that computes them.
  int64_t n_missing() const { return std::ssize(timeline_) - kv_->length(); }
  /// To so many tokens its prompt is pruned; 0: it is not.
  int64_t n_kept() const { return n_kept_; }
  /// Its prompt was computed whole: keys and values become those that stay.
  void prune();
  /// The beginning of the timeline that need not be computed where its keys and values are found.
  std::span<const text::Token> reusable() const;
  /// How many missing tokens, from `at` on, a row has that may have n: fewer, none or, at the end of a prompt that is pruned,
  /// more, so that no row has but some of the tokens that are observed, or goes on after them.
  int64_t row_tokens(int64_t at, int64_t n) const;

  /// Whether it is over once its prompt is computed.
  bool only_pools() const { return pooler_.has_value(); }
  /// A step gives it tokens, and computes few: where layers carry states, perhaps those before a wrong guess again.
  bool is_decoding() const { return n_generated() > 0 && n_missing() <= kMostAgain; }
  /// Missing tokens [at, at + n). Where they reach the timeline's end, the one that follows is chosen.
  decode::Row row(int64_t at, int64_t n);
  /// Guesses at what follows the timeline, as many as the answer may yet have before its last token: the request's
  /// drafter's, or those of what the text repeats, unless without `matches`, or,
  /// where more of them can be expected to be right, at most `most_made` of the maker. maker: null with most_made 0.
  decode::Draft draft(bool matches, GuessMaker* maker, int64_t most_made);
  /// All missing tokens and these guesses.
  decode::Row row_with(std::span<const text::Token> guesses);
  /// Of the guesses of a step so many were right.
  void note_drafted(int64_t guesses, int64_t right);
  /// The token that row `from` of the step before chooses; nothing when the answer ends with it for certain.
  std::optional<decode::Row> row_ahead(size_t from);

  /// What became of a row that reached the timeline's end: the token goes to the listener, unless it ends the answer.
  /// Returns what ends it.
  std::optional<FinishReason> take(text::Token token);
  void end(FinishReason reason);
  void fail(std::exception_ptr error);
  /// How much of the prompt has its keys and values.
  void tell_prompt(int64_t tokens) { listener_->on_prompt(tokens); }

  Result& result() { return result_; }
  int64_t n_prompt() const { return std::ssize(request_.tokens); }
  int64_t n_generated() const { return std::ssize(result_.tokens); }

 private:
  struct Chosen {
    float logprob = 0;
    std::vector<TokenLogprob> top = {};
    bool is_last = false;  // the constraint allows nothing more
  };
  static constexpr int64_t kMostAgain = DraftGovernor::kMostGuesses + 1;
  static_assert(kMostAgain < ops::kObserved, "a prompt that is to be pruned is no decoding");

  decode::Row bound(decode::Row row);
  decode::Row pooled(decode::Row row, int64_t position);
  text::Token choose(std::span<const float> logits);
  void emit(text::Token token, std::string text, Chosen chosen);

  Request request_;
  std::shared_ptr<Listener> listener_;
  const text::Tokenizer& tokenizer_;
  const Limits limits_;
  int64_t n_kept_ = 0;
  std::atomic<bool> cancelled_ = false, paused_ = false;

  std::vector<text::Token> timeline_;  // the prompt and what was taken
  std::optional<nn::KvCache> kv_, aside_;
  text::Detokenizer detokenizer_;
  decode::StopMatcher stops_;
  Result result_;
  bool ended_ = false;
  std::shared_ptr<decode::Drafter> drafter_;  // made when they are first asked
  std::unique_ptr<GuessMaker::Guesses> made_;
  Clock::time_point arrived_, admitted_, first_token_;

  // The stream's, while a step is in flight.
  const decode::Sampler sampler_;
  std::vector<text::Token>
      sampled_;  // the timeline as the sampler sees it: perhaps one token ahead
  std::vector<float> masked_;
  std::deque<Chosen> chosen_;  // of the tokens that were not taken yet
  bool complete_ = false;      // what the last one says of the constraint
  std::optional<decode::Pooler> pooler_;
};

}  // namespace sluice::engine
