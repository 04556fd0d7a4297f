#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sluice/decode/prefix_index.h"
#include "sluice/decode/stepper.h"
#include "sluice/engine/disk_cache/disk_prefixes.h"
#include "sluice/engine/guesser.h"
#include "sluice/engine/pace.h"
#include "sluice/engine/pending_reads.h"
#include "sluice/engine/scheduler_report.h"
#include "sluice/engine/sequence.h"
#include "sluice/engine/step_log.h"
#include "sluice/engine/worker.h"

namespace sluice::engine {

/// Decides what each step computes: all sequences that decode, and of prompts as many tokens as the pace allows. It
/// admits a sequence when its prompt's blocks fit, each client in turn by what it was given so far; one whose prompt
/// shares its beginning with another that is being computed, or read from disk, waits for that. When blocks run out while sequences grow,
/// kept prefixes are given up first, then the youngest sequence goes back to the queue. None of it changes a token.
class Scheduler {
 public:
  struct Options {
    Policy policy = Policy::balanced;
    int64_t chunk = 512;  ///< prompt tokens of one pass
    int64_t layer_tokens =
        0;  ///< weights are streamed: so many tokens of prompts pass a layer before the next one
    bool runs_ahead = true;      ///< steps may be begun before the one before is looked at
    bool keeps_prefixes = true;  ///< for prompts to come
    Speculation speculation = Speculation::automatic;
    std::string_view no_guesses_because = {};  ///< what results say where it is off
    double row_cost = DraftGovernor::kRowCost;
    bool guesses_matches = true;  ///< where the text repeats itself
    GuessMaker* maker = nullptr;  ///< computes guesses; outlives the scheduler
  };
  /// Most sequences that have keys and values.
  static constexpr int64_t kMostActive = 64;

  /// disk: where prefixes are that memory does not hold; null: nowhere.
  Scheduler(decode::Stepper& stepper, decode::PrefixIndex& prefixes, DiskPrefixes* disk,
            residency::KvPool& pool, std::function<nn::KvCache()> new_cache,
            const Options& options);

  /// Any thread. The caller wakes the worker.
  void submit(std::shared_ptr<Sequence> sequence);
  void cancel_all();
  SchedulerReport report() const;
  std::vector<StepRecord> steps_after(int64_t number) const;

  /// One step, on the engine's thread.
  Worker::Turn turn(bool others_wait);

 private:
  using Ptr = std::shared_ptr<Sequence>;
  /// A step and whose its rows are.
  struct Plan {
    std::vector<std::vector<decode::Row>> passes;
    std::vector<Ptr> of_row;
    std::vector<int64_t> row_tokens, row_guesses;
    int64_t prompt_tokens = 0, decode_tokens = 0, guesses = 0;
    bool empty() const { return of_row.empty(); }
  };

  void add(Plan& plan, const Ptr& sequence, decode::Row row) const;
  void take_arrivals();
  void sweep();
  void admit();
  bool admit_one();
  bool waits_for_prefix(const Sequence& sequence) const;
  bool fits(const Sequence& sequence) const;
  Plan compose(bool may_guess);
  std::vector<Ptr> decoding_in_turn();
  void add_decodes(Plan& plan, bool may_guess);
  std::vector<Ptr> prompts_in_order(size_t& n_first) const;
  void add_prompts(Plan& plan);
  Plan compose_ahead(const Plan& first) const;
  bool begin();
  static void fail_all(const Plan& plan, const std::exception_ptr& error);
  bool make_room(const Plan& plan);
  bool give_up_aside();
  void bring_back();
  void spare_others(const Plan& plan, std::span<decode::Outcome> outcomes) const;
  void begin_ahead();
  void finish();
  std::vector<decode::Outcome> wait(const Plan& plan);
  void learn_from(const Plan& plan, std::span<const decode::Outcome> outcomes);
  void keep_sealed(const Sequence& sequence, std::vector<decode::Sealed>& sealed);
  void keep_end(Sequence& sequence, bool is_over);
  void take_outcome(Sequence& sequence, decode::Outcome& outcome);
  void end(Sequence& sequence, FinishReason reason);
  void drop_dead_step();
  void guess_rather_than_ahead();
  void release_ended();
  bool in_flight(const Sequence& sequence) const;
  /// A pooled text needs the states of all its tokens, and would take the place of what chats come back to.
  bool keeps_prefix(const Sequence& sequence) const {
    return options_.keeps_prefixes && !sequence.only_pools();
  }
  void publish();

  decode::Stepper& stepper_;
  decode::PrefixIndex& prefixes_;
  DiskPrefixes* disk_;
  PendingReads reads_;
  residency::KvPool& pool_;
  std::function<nn::KvCache()> new_cache_;
  Options options_;
  Pace pace_;
  Guesser guesser_;

  std::vector<Ptr> waiting_, active_;  // in the order in which they came
  std::vector<Plan> plans_;            // of the steps in flight
  std::map<std::string, double>
      served_;               // by client: tokens that were computed for it, decoded ones double
  size_t first_decode_ = 0;  // where the next step begins when not all fit
  std::chrono::steady_clock::time_point
      step_began_;  // when the one before was over; 0: nothing was computed

  mutable std::mutex mutex_;  // guards what follows
  std::vector<Ptr> arrived_;
  SchedulerReport report_;
  StepLog steps_;
};

}  // namespace sluice::engine
