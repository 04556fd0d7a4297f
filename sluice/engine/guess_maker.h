#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/base/bytes.h"
#include "sluice/decode/drafter.h"
#include "sluice/engine/draft_governor.h"

namespace sluice::engine {

/// Who computes guesses at tokens, which takes time: how much, and how often they are right, is measured over all
/// sequences. What is accepted is decision 014's. On the thread of the engine that it guesses for.
class GuessMaker {
 public:
  /// Of one sequence. No guesses come any more once it met an error of ours: its memory is too small, a file went away.
  class Guesses : public decode::Drafter {
   public:
    explicit Guesses(GuessMaker& maker) : maker_(maker) {}
    decode::Draft draft(std::span<const int32_t> timeline, int64_t most) final;

    /// Whether it wants the states of all tokens before the final norm.
    virtual bool sees_states() const { return false; }
    /// On the stream's thread, while a step computes; positions may come again, with the same state unless other tokens led
    /// there. state: float32 [hidden_size], valid during the call.
    virtual void see(int64_t /*position*/, std::span<const float> /*state*/) {}
    /// Its sequence has the keys and values of the timeline's first n_held tokens; it will see the states from there on.
    virtual void begin(std::span<const int32_t> /*timeline*/, int64_t /*n_held*/) {}
    /// A step of the sequence is over, and what was seen before the timeline's last token is right.
    virtual void follow(std::span<const int32_t> /*timeline*/) {}
    /// The sequence is over: what it leaves for prompts to come can be kept.
    virtual void end(std::span<const int32_t> /*timeline*/) {}

   protected:
    virtual bool fits(std::span<const int32_t> /*timeline*/, int64_t /*most*/) const {
      return true;
    }
    /// Calls add() for the best token after the timeline, the best after that, and so on, until it says no. Throws Error.
    virtual void guess(std::span<const int32_t> timeline, int64_t most) = 0;
    /// Takes the best token of logits as the next guess. Whether another one is wanted.
    bool add(std::span<const float> logits);
    int32_t last() const { return draft_.tokens.back(); }
    bool failed() const { return failed_; }
    void give_up() { failed_ = true; }

   private:
    void learn(std::span<const int32_t> timeline);

    GuessMaker& maker_;
    bool failed_ = false;
    decode::Draft draft_;
    int64_t most_ = 0;
    float path_ = 1;
    std::vector<float> probabilities_;  // the model's, of the guesses that may yet turn out right
    size_t learned_ = 0;                // of them, those that did
    int64_t guessed_at_ = -1;           // the timeline's length
  };

  virtual ~GuessMaker() = default;

  /// salt: whose prefixes its keys and values may be taken from, and are kept for. The maker outlives it.
  virtual std::unique_ptr<Guesses> guesses(std::string salt) = 0;
  /// Whether guesses follow their sequence from its first token on.
  virtual bool follows() const { return false; }
  /// Gives up what it keeps for prompts to come, until so much is back in the pool. False when there is none left.
  virtual bool give_up_kept(Bytes /*wanted*/) { return false; }
  /// Forgets what it keeps of a salt.
  virtual void forget(std::string_view /*salt*/) {}

  /// As measured lately, of all sequences.
  const DraftCost& cost() const { return cost_; }

 protected:
  void count_seconds(double seconds);

 private:
  /// How often tokens were right to which the model gave a probability in one eighth of [0, 1].
  struct Bin {
    double right = 0, all = 0;
  };
  static constexpr size_t kBins = 8;

  float chance_of(float probability) const;
  void count(float probability, bool right);

  std::array<Bin, kBins> bins_;
  DraftCost cost_;
};

}  // namespace sluice::engine
