#pragma once

#include <mlx/array.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "sluice/nn/kv_cache.h"
#include "sluice/nn/model.h"

namespace sluice::decode {

enum class Phase : uint8_t { prompt, decode };

/// Gets the logits that follow the token at `position`: float32 [vocab_size], valid during the call. Returns the token
/// that follows.
using Choose = std::function<int32_t(int64_t position, std::span<const float> logits)>;

/// Gets a state at `position`: float32 [hidden_size], valid during the call.
using SeeHidden = std::function<void(int64_t position, std::span<const float> hidden)>;

/// What a step computes of one sequence: it appends tokens to its keys and values, and has chosen what follows.
struct Row {
  nn::KvCache* kv = nullptr;
  std::vector<int32_t> tokens = {};
  /// Instead of tokens: the one that this row of the step begun before chooses.
  std::optional<size_t> from = std::nullopt;
  int64_t logits_from = 0;  ///< of the tokens, those from here on want logits; past the last: none
  /// Of the tokens, so many at the end are guesses, of a row that is its sequence's only one in the step. A guess stays
  /// when `choose` says the same at the position before it, which wants logits; what comes after a wrong one is
  /// forgotten.
  int64_t n_drafted = 0;
  /// Above 0: with this row, its sequence's last of the step, a prompt is whole, whose keys and values can then be pruned to
  /// so many tokens' (nn::KvCache::prune). It has the last ops::kObserved tokens.
  int64_t n_kept = 0;
  Phase phase = Phase::prompt;
  /// Called for each wanted position in order, up to that before a wrong guess, on the stream's thread or one of the
  /// pool's, there beside those of other rows.
  Choose choose = {};
  int64_t hidden_from = 0;  ///< as logits_from, for `see_hidden`
  /// Gets the state behind the final norm of each wanted position in order, on the stream's thread. Null: none is wanted.
  SeeHidden see_hidden = {};
  /// The same of the state before the final norm, of all tokens, guesses that turn out wrong among them.
  SeeHidden see_raw = {};
  /// When it becomes true for all rows of a step, the step ends within a layer. Null: never.
  const std::atomic<bool>* cancel = nullptr;

  int64_t n_tokens() const { return from ? 1 : std::ssize(tokens); }
};

/// 256 tokens that a step completed: nobody writes into these blocks any more.
struct Sealed {
  int64_t stretch = 0;
  nn::KvStretch blocks;
};

/// What became of a row. After a wrong guess its keys and values are those of the tokens before it or, where layers carry
/// states, as before the step.
struct Outcome {
  /// What `choose` said at the wanted positions; past a wrong guess nothing.
  std::vector<int32_t> tokens = {};
  bool cancelled = false;
  /// Why there are no tokens. The keys and values are as before the step, but after what `choose` threw.
  std::exception_ptr error = nullptr;
  std::vector<Sealed> sealed = {};
  bool may_prune = false;  ///< of a row with n_kept
};

/// Packs rows of any sequences into steps and evaluates them. Each sequence gets the bits it would get alone. While a
/// step computes, the next one's graph can be built and its first layers handed to the stream, so that neither that
/// nor what is done with a token costs time. Belongs to the engine's thread.
class Stepper {
 public:
  struct Limits {
    Bytes logits{64 << 20};  ///< what those of one step may take
    /// Whether the tokens of several rows are chosen at once, which takes memory for each.
    bool choose_together = true;
  };
  Stepper(const nn::Model& model, const ops::Context& context, const Limits& limits)
      : model_(model), context_(context), limits_(limits) {}
  Stepper(const nn::Model& model, const ops::Context& context)
      : Stepper(model, context, Limits{}) {}
  /// Waits for what was begun.
  ~Stepper();
  Stepper(const Stepper&) = delete;
  Stepper& operator=(const Stepper&) = delete;

  /// Begins a step. Rows of one pass are computed together; all passes are in a layer before the next layer runs, so
  /// that its weights are needed once. A sequence may have rows in several passes, in the order of its tokens. Experts
  /// that are read for a pass of Phase::decode stay, so streamed weights want passes of one phase.
  /// With a step in flight, which has no guesses, this one is begun ahead: one pass of at most max_ahead() tokens.
  /// A step of more tokens is computed here, but for its logits.
  /// Throws Error(over_budget) when the pool has not got the blocks; nothing has changed then.
  void begin(std::vector<std::vector<Row>> passes);
  /// Waits for the step that was begun first. Outcomes are in the order of its rows, pass by pass. When one of its
  /// rows met an error, or all were cancelled, a step begun ahead is given up.
  std::vector<Outcome> finish();
  /// Gives up the step begun ahead, or the only one: its keys and values are as before.
  void give_up();

  /// The sequence without what a step in flight appends to it.
  const nn::KvCache& settled(const nn::KvCache& kv) const;

  size_t in_flight() const { return steps_.size(); }
  int64_t max_ahead() const;
  /// Rows whose logits one step may have.
  int64_t max_logit_rows() const;

 private:
  struct Step {
    explicit Step(const ops::Context& of_engine) : context(of_engine.with(errors)) {}
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

    ops::ErrorSlot errors;
    const ops::Context context;
    std::vector<Row> rows;
    std::vector<std::pair<nn::KvCache*, nn::KvCache>> before;  // oldest first
    std::vector<int> chosen_at;  // of each row: where its token is in `chosen`, or -1
    std::shared_ptr<std::vector<Outcome>>
        outcomes;  // choose's errors come in on the stream's thread
    std::optional<mx::array> first_layers, chosen;
    std::optional<mx::array> shown;  ///< evaluated, all states that are wanted were seen
    bool ahead = false;              ///< the stream has the first layers
    bool started = false;            ///< and all of it
    std::exception_ptr broken;       ///< why the stream has but some of it

    void restore();
    void drop_wrong_guesses(size_t row, Outcome& outcome) const;
  };
  using Ends = std::map<const nn::KvCache*, int64_t>;  // how long sequences are after the step
  nn::Step graph_of(std::span<const Row> rows, Step& step, const Ends& ends, bool several,
                    bool again);
  mx::array tokens_of(std::span<const Row> rows, const Step& step) const;
  void build(std::vector<std::vector<Row>> passes, Step& step);
  mx::array choose(const mx::array& logits, Step& step) const;
  std::optional<mx::array> show_hidden(std::span<const nn::Step> graphs, const Step& step) const;
  static std::vector<mx::array> results(const Step& step);
  void start(Step& step);

  const nn::Model& model_;
  const ops::Context& context_;
  Limits limits_;
  std::deque<std::unique_ptr<Step>> steps_;  // at most two
};

}  // namespace sluice::decode
