#include "sluice/engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/decode/make_room.h"

namespace sluice::engine {
namespace {

using Clock = std::chrono::steady_clock;

/// Of a prompt's rest: a step's worth of decoding, which nobody notices.
constexpr int64_t kShortRest = 32;
/// Shared tokens for which a prompt waits until another one's are computed.
constexpr int64_t kWorthWaiting = 64;

}  // namespace

Scheduler::Scheduler(decode::Stepper& stepper, decode::PrefixIndex& prefixes, DiskPrefixes* disk,
                     residency::KvPool& pool, std::function<nn::KvCache()> new_cache,
                     const Options& options)
    : stepper_(stepper),
      prefixes_(prefixes),
      disk_(disk),
      reads_(disk, prefixes),
      pool_(pool),
      new_cache_(std::move(new_cache)),
      options_(options),
      pace_(options.policy, options.chunk),
      guesser_(options.speculation, options.row_cost, options.guesses_matches, options.maker) {}

void Scheduler::submit(Ptr sequence) {
  const std::lock_guard lock(mutex_);
  arrived_.push_back(std::move(sequence));
}

void Scheduler::cancel_all() {
  for (const auto* all : {&waiting_, &active_}) {
    for (const Ptr& sequence : *all) sequence->cancel();
  }
  const std::lock_guard lock(mutex_);
  for (const Ptr& sequence : arrived_) sequence->cancel();
}

SchedulerReport Scheduler::report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

std::vector<StepRecord> Scheduler::steps_after(int64_t number) const {
  const std::lock_guard lock(mutex_);
  return steps_.after(number);
}

void Scheduler::publish() {
  const auto decodes = [](const Ptr& s) { return s->n_generated() > 0; };
  const std::lock_guard lock(mutex_);
  report_.waiting = std::ssize(waiting_) + std::ssize(arrived_);
  report_.active = std::ssize(active_);
  report_.decoding = std::ranges::count_if(active_, decodes);
  report_.prefixes = prefixes_.held();
}

Worker::Turn Scheduler::turn(bool others_wait) {
  take_arrivals();
  reads_.take();
  const bool has_work = !waiting_.empty() || !active_.empty();
  if (disk_ != nullptr && has_work) disk_->set_idle(false);
  if (stepper_.in_flight() == 0) {
    sweep();
    admit();
    bring_back();
    if (!begin()) {
      step_began_ = {};
      publish();
      if (disk_ != nullptr) disk_->set_idle(waiting_.empty());
      // Who is read for is woken for; who waits for that one, too.
      const auto ready = [&](const Ptr& sequence) {
        return !sequence->is_paused() && !reads_.is_reading(*sequence) &&
               !waits_for_prefix(*sequence);
      };
      const bool more = active_.empty() && std::ranges::any_of(waiting_, ready);
      return more ? Worker::Turn::more : Worker::Turn::idle;
    }
  }
  if (options_.runs_ahead && !others_wait && waiting_.empty() && !guesser_.makes_guesses())
    begin_ahead();
  finish();
  drop_dead_step();
  guess_rather_than_ahead();
  release_ended();
  publish();
  return stepper_.in_flight() > 0 ? Worker::Turn::unfinished : Worker::Turn::more;
}

/// Who comes back gets no credit for the time away.
void Scheduler::take_arrivals() {
  const std::lock_guard lock(mutex_);
  if (arrived_.empty()) return;
  std::map<std::string, double> present;
  for (const auto* all : {&waiting_, &active_}) {
    for (const Ptr& sequence : *all) {
      const std::string& client = sequence->request().client;
      present[client] = served_[client];
    }
  }
  double least = present.empty() ? 0 : present.begin()->second;
  for (const auto& [client, served] : present) least = std::min(least, served);
  served_ = std::move(present);
  for (Ptr& sequence : arrived_) {
    served_.try_emplace(sequence->request().client, least);
    waiting_.push_back(std::move(sequence));
  }
  arrived_.clear();
}

/// Ends what was cancelled, while no step is in flight.
void Scheduler::sweep() {
  for (const auto* all : {&active_, &waiting_}) {
    for (const Ptr& sequence : *all) {
      if (sequence->is_cancelled()) end(*sequence, FinishReason::cancelled);
    }
  }
  release_ended();
}

bool Scheduler::in_flight(const Sequence& sequence) const {
  return std::ranges::any_of(plans_, [&](const Plan& plan) {
    return std::ranges::any_of(plan.of_row, [&](const Ptr& of) { return of.get() == &sequence; });
  });
}

void Scheduler::release_ended() {
  const auto over = [&](const Ptr& sequence) {
    if (!sequence->ended() || in_flight(*sequence)) return false;
    reads_.forget(*sequence);
    sequence->release();
    return true;
  };
  std::erase_if(active_, over);
  std::erase_if(waiting_, over);
}

// --- who gets in

void Scheduler::admit() {
  while (!waiting_.empty() && std::ssize(active_) < kMostActive && admit_one()) {
  }
}

bool Scheduler::waits_for_prefix(const Sequence& sequence) const {
  if (!keeps_prefix(sequence)) return false;
  const auto gives_more = [&](const Sequence& other) {
    if (other.request().cache_salt != sequence.request().cache_salt) return false;
    const int64_t shared = decode::common_prefix(other.timeline(), sequence.timeline());
    return shared >= kWorthWaiting &&
           shared > prefixes_.length_of(sequence.request().cache_salt, sequence.timeline());
  };
  const auto is_read = [&](const Sequence& other) {
    return &other != &sequence && gives_more(other);
  };
  const auto is_computed = [&](const Ptr& other) {
    return other->n_generated() == 0 && !other->only_pools() && !other->is_paused() &&
           gives_more(*other);
  };
  return reads_.any_of(is_read) || std::ranges::any_of(active_, is_computed);
}

bool Scheduler::fits(const Sequence& sequence) const {
  if (active_.empty()) return true;  // or it never will
  const Bytes free = difference(pool_.cap(), pool_.in_use());
  const Bytes wanted = decode::bytes_of(
      new_cache_().needs(std::ssize(sequence.timeline()) + 1, 0, sequence.n_kept()));
  return wanted <= free + prefixes_.unused();
}

/// The next one in line of the client that was given least. False when nobody can be admitted.
bool Scheduler::admit_one() {
  Ptr* best = nullptr;
  for (Ptr& sequence : waiting_) {
    const auto given = [&](const Ptr& of) { return served_[of->request().client]; };
    if (sequence->is_paused() || reads_.is_reading(*sequence) || waits_for_prefix(*sequence))
      continue;
    if (best == nullptr || given(sequence) < given(*best)) best = &sequence;
  }
  if (best == nullptr || !fits(**best)) return false;
  if (!(*best)->is_aside() && reads_.begin(**best, pace_.prompt_token_seconds()))
    return true;  // it waits for that
  const Ptr sequence = *best;
  waiting_.erase(waiting_.begin() + (best - waiting_.data()));
  try {
    auto aside = sequence->take_back();
    if (aside && aside->is_lost()) aside.reset();
    sequence->activate(aside ? std::move(*aside)
                       : keeps_prefix(*sequence)
                           ? prefixes_.find(sequence->request().cache_salt, sequence->reusable())
                           : new_cache_());
    reads_.forget(*sequence);
    if (options_.maker != nullptr && options_.maker->follows())
      sequence->begin_guesses(*options_.maker);
    active_.push_back(sequence);
  } catch (...) {
    sequence->fail(std::current_exception());
  }
  return true;
}

// --- what a step computes

Scheduler::Plan Scheduler::compose(bool may_guess) {
  Plan plan;
  add_decodes(plan, may_guess);
  add_prompts(plan);
  return plan;
}

void Scheduler::add(Plan& plan, const Ptr& sequence, decode::Row row) const {
  plan.of_row.push_back(sequence);
  plan.row_tokens.push_back(row.n_tokens());
  plan.row_guesses.push_back(row.n_drafted);
  plan.guesses += row.n_drafted;
  plan.passes.back().push_back(std::move(row));
}

/// As many as one step may have; those that it may not have are the first of the next one.
std::vector<Scheduler::Ptr> Scheduler::decoding_in_turn() {
  std::vector<Ptr> sequences;
  const auto n = active_.size();
  const size_t first = n == 0 ? 0 : first_decode_ % n;
  for (size_t i = 0; i < n; ++i) {
    const Ptr& sequence = active_[(first + i) % n];
    if (sequence->is_paused() || !sequence->is_decoding()) continue;
    if (std::ssize(sequences) == stepper_.max_logit_rows()) {
      first_decode_ = (first + i) % n;
      break;
    }
    sequences.push_back(sequence);
  }
  return sequences;
}

/// Beside prompts nothing is guessed: there a row costs what computing takes, and not what reading weights does.
void Scheduler::add_decodes(Plan& plan, bool may_guess) {
  const std::vector<Ptr> sequences = decoding_in_turn();
  if (sequences.empty()) return;
  const auto is_prompt = [](const Ptr& s) { return !s->is_paused() && !s->is_decoding(); };
  std::vector<decode::Draft> drafts;
  if (may_guess && std::ranges::none_of(active_, is_prompt))
    drafts = guesser_.guesses_for(sequences, stepper_.max_logit_rows() - std::ssize(sequences));
  drafts.resize(sequences.size());
  plan.passes.emplace_back();
  for (size_t i = 0; i < sequences.size(); ++i)
    add(plan, sequences[i], sequences[i]->row_with(drafts[i].tokens));
  plan.decode_tokens = std::ssize(plan.of_row);
}

/// Prompts in the order of arrival, but first those of which little is left: they cost the others little. `n_first` of
/// them.
std::vector<Scheduler::Ptr> Scheduler::prompts_in_order(size_t& n_first) const {
  std::vector<Ptr> prompts;
  for (const Ptr& sequence : active_) {
    if (!sequence->is_paused() && !sequence->is_decoding()) prompts.push_back(sequence);
  }
  const auto is_short = [](const Ptr& sequence) { return sequence->n_missing() <= kShortRest; };
  n_first = static_cast<size_t>(std::ranges::count_if(prompts, is_short));
  std::stable_partition(prompts.begin(), prompts.end(), is_short);
  return prompts;
}

/// In prompts_in_order(), where short rests get half at most while another prompt waits. Streamed weights want passes of
/// one phase, and as many of them as fit while a layer is in memory; otherwise prompts share the pass with decoding, and
/// the weights come from memory once.
void Scheduler::add_prompts(Plan& plan) {
  const bool streams = options_.layer_tokens > 0;
  int64_t left = streams ? std::max(options_.layer_tokens, options_.chunk)
                         : pace_.prompt_tokens(plan.decode_tokens > 0);
  int64_t logits_left = stepper_.max_logit_rows() - plan.decode_tokens;
  int64_t in_pass = streams ? options_.chunk : plan.decode_tokens;  // a new pass, or decoding's
  size_t n_short = 0;
  const std::vector<Ptr> prompts = prompts_in_order(n_short);
  const int64_t for_others = n_short < prompts.size() ? left / 2 : 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const Ptr& sequence = prompts[i];
    if (i > 0 && i < n_short && left - sequence->n_missing() < for_others) continue;
    int64_t at = 0;  // of what is missing
    for (int64_t n_missing = sequence->n_missing(); at < n_missing && left > 0;) {
      if (at > 0 && !streams) break;  // what a pruned prompt's end has to itself
      const bool is_full = at > 0 || in_pass >= options_.chunk;
      const int64_t room = options_.chunk - (is_full ? 0 : in_pass);
      int64_t n = sequence->row_tokens(at, std::min({n_missing - at, left, streams ? room : left}));
      if (n == 0) break;
      if (!sequence->only_pools() && at + n == n_missing) {  // which wants logits
        if (logits_left == 0) n = sequence->row_tokens(at, n - 1);
        if (n == 0 || (at + n == n_missing && logits_left == 0)) return;
        if (at + n == n_missing) --logits_left;
      }
      if (plan.passes.empty() || (streams && (is_full || (in_pass > 0 && n > room)))) {
        plan.passes.emplace_back();
        in_pass = 0;
      }
      add(plan, sequence, sequence->row(at, n));
      plan.prompt_tokens += n;
      at += n;
      left -= n;
      in_pass += n;
    }
    if (left <= 0) return;
  }
}

/// Begins the next step; gives up what it must for its blocks. False when there is nothing to compute.
bool Scheduler::begin() {
  bool may_guess = true;
  while (true) {
    Plan plan = compose(may_guess);
    if (plan.empty()) return false;
    try {
      if (step_began_ == Clock::time_point{}) step_began_ = Clock::now();
      stepper_.begin(plan.passes);
      plans_.push_back(std::move(plan));
      return true;
    } catch (const Error& error) {
      const bool lacks_room = error.kind() == ErrorKind::over_budget;
      if (lacks_room && plan.guesses > 0) {  // nobody makes room for a guess
        may_guess = false;
        continue;
      }
      if (lacks_room && make_room(plan)) continue;
      const Error told = decode::with_why_not(error, pool_);
      fail_all(plan, std::make_exception_ptr(lacks_room ? told : error));
    } catch (...) {
      fail_all(plan, std::current_exception());
    }
    release_ended();
  }
}

void Scheduler::fail_all(const Plan& plan, const std::exception_ptr& error) {
  for (const Ptr& sequence : plan.of_row) {
    if (!sequence->ended()) sequence->fail(error);
  }
}

/// False when there is nothing left to give up.
bool Scheduler::make_room(const Plan& plan) {
  const Bytes lacking = decode::lacking_for(plan.passes, pool_);
  if (lacking.count > 0 && prefixes_.spill(lacking) >= lacking) return true;
  if (lacking.count > 0 && prefixes_.evict(decode::lacking_for(plan.passes, pool_))) return true;
  if (lacking.count > 0 && options_.maker != nullptr && options_.maker->give_up_kept(lacking))
    return true;
  if (reads_.give_up()) return true;
  if (active_.size() < 2) return decode::spill_for(plan.passes, pool_) || give_up_aside();
  // The youngest has the least to compute again, as a rule.
  const Ptr youngest = active_.back();
  active_.pop_back();
  if (pool_.spill() != nullptr) {
    youngest->put_aside();
  } else {
    youngest->release();
  }
  waiting_.insert(waiting_.begin(), youngest);
  const std::lock_guard lock(mutex_);
  ++report_.preemptions;
  return true;
}

/// Of a sequence that was put aside the blocks that cannot be spilled: then it computes its timeline anew.
bool Scheduler::give_up_aside() {
  const auto last = std::find_if(waiting_.rbegin(), waiting_.rend(),
                                 [](const Ptr& sequence) { return sequence->is_aside(); });
  if (last == waiting_.rend()) return false;
  (*last)->release();
  return true;
}

/// Blocks that were spilled and are used again, as far as there is room beside what sequences will take next.
void Scheduler::bring_back() {
  if (pool_.spill() == nullptr) return;
  const auto is_prompt = [](const Ptr& s) { return !s->is_paused() && !s->is_decoding(); };
  if (std::ranges::any_of(active_, is_prompt)) return;
  constexpr int64_t kAhead = 2 * kernels::kKvBlockTokens;
  const Bytes kept{active_.size() * decode::bytes_of(new_cache_().needs(kAhead)).count};
  for (const Ptr& sequence : active_) {
    try {
      const Bytes room = difference(pool_.cap(), pool_.in_use());
      if (kept < room) sequence->kv().restore(difference(room, kept));
    } catch (...) {
      sequence->fail(std::current_exception());
    }
  }
  release_ended();
}

/// The step after `first`, as far as it is certain: all go on with what they are about to choose.
Scheduler::Plan Scheduler::compose_ahead(const Plan& first) const {
  Plan plan;
  if (std::ssize(first.of_row) > stepper_.max_ahead() || first.passes.size() != 1 ||
      first.guesses > 0)
    return plan;
  for (const Ptr& sequence : active_) {
    if (!sequence->ended() && !sequence->is_paused() && !in_flight(*sequence)) return plan;
  }
  for (size_t i = 0; i < first.of_row.size(); ++i) {
    const Ptr& sequence = first.of_row[i];
    if (sequence->ended() || sequence->is_paused()) continue;
    if (sequence->n_missing() > 0 || sequence->kv().will_prune())
      return {};  // that, or more of its prompt, comes first
    if (auto row = sequence->row_ahead(i)) {
      if (plan.passes.empty()) plan.passes.emplace_back();
      add(plan, sequence, std::move(*row));
    }
  }
  plan.decode_tokens = std::ssize(plan.of_row);
  return plan;
}

void Scheduler::begin_ahead() {
  if (plans_.size() != 1) return;
  Plan plan = compose_ahead(plans_[0]);
  if (plan.empty()) return;
  try {
    stepper_.begin(plan.passes);
    plans_.push_back(std::move(plan));
  } catch (const std::exception&) {
    // There is no room yet; what else it may be, the step meets again when its turn comes.
  }
}

// --- what comes of it

/// The outcomes of the first step in flight, which `plan` is.
std::vector<decode::Outcome> Scheduler::wait(const Plan& plan) {
  try {
    return stepper_.finish();
  } catch (...) {  // there was no memory to hand it to the stream
    while (stepper_.in_flight() > 0) stepper_.give_up();
    decode::Outcome failed;
    failed.error = std::current_exception();
    return std::vector<decode::Outcome>(plan.of_row.size(), failed);
  }
}

void Scheduler::learn_from(const Plan& plan, std::span<const decode::Outcome> outcomes) {
  const auto now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - step_began_).count();
  step_began_ = now;
  int64_t n_rows = 0, n_given = 0;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    if (plan.of_row[i]->n_generated() == 0) continue;
    n_rows += plan.row_tokens[i];
    n_given += std::ssize(outcomes[i].tokens);
  }
  pace_.add(plan.prompt_tokens, plan.decode_tokens, seconds);
  if (plan.prompt_tokens == 0 && n_given > 0) {
    guesser_.learn(plan.decode_tokens, n_rows, n_given, seconds);
  } else {
    guesser_.learn_nothing();
  }
  const std::lock_guard lock(mutex_);
  ++report_.steps;
  steps_.add(now, {.ms = 1e3 * seconds,
                   .decode_rows = plan.decode_tokens,
                   .prefill_tokens = plan.prompt_tokens,
                   .waiting = std::ssize(waiting_) + std::ssize(arrived_)});
  report_.prompt_tokens += plan.prompt_tokens;
  report_.decode_tokens += n_given;
  report_.guessed_tokens += plan.guesses;
  if (plan.guesses > 0) report_.right_guesses += n_given - plan.decode_tokens;
}

void Scheduler::finish() {
  std::vector<decode::Outcome> outcomes = wait(plans_.front());
  const Plan plan = std::move(plans_.front());
  plans_.erase(plans_.begin());
  if (stepper_.in_flight() == 0) plans_.clear();  // the one ahead was given up
  learn_from(plan, outcomes);
  spare_others(plan, outcomes);
  for (size_t i = 0; i < outcomes.size(); ++i) {
    Sequence& sequence = *plan.of_row[i];
    if (sequence.ended()) continue;
    const bool decoded = sequence.n_generated() > 0;
    const int64_t given = decoded ? 2 * std::ssize(outcomes[i].tokens) : plan.row_tokens[i];
    served_[sequence.request().client] += static_cast<double>(given);
    if (plan.row_guesses[i] > 0 && !outcomes[i].tokens.empty())
      sequence.note_drafted(plan.row_guesses[i], std::ssize(outcomes[i].tokens) - 1);
    try {
      take_outcome(sequence, outcomes[i]);
      if (!sequence.ended()) sequence.tell_guesses();
    } catch (...) {
      if (!sequence.ended()) sequence.fail(std::current_exception());
    }
  }
}

/// Spilled bytes that did not come back are an error of whose they are; the others compute the step again.
void Scheduler::spare_others(const Plan& plan, std::span<decode::Outcome> outcomes) const {
  const auto is_lost = [](const Ptr& s) {
    return !s->ended() && s->is_active() && s->kv().is_lost();
  };
  if (std::ranges::none_of(plan.of_row, is_lost)) return;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i].error && !is_lost(plan.of_row[i])) outcomes[i] = {};
  }
}

void Scheduler::take_outcome(Sequence& sequence, decode::Outcome& outcome) {
  if (outcome.error) return sequence.fail(outcome.error);
  if (outcome.cancelled) return end(sequence, FinishReason::cancelled);
  const bool was_prompt = sequence.n_generated() == 0;
  if (was_prompt)
    sequence.tell_prompt(std::min<int64_t>(sequence.kv().length(), sequence.n_prompt()));
  if (sequence.only_pools() && sequence.n_missing() == 0)
    return end(sequence, FinishReason::max_tokens);
  std::optional<FinishReason> reason;
  for (const text::Token token : outcome.tokens) {
    reason = sequence.take(token);
    if (reason) break;
  }
  keep_sealed(sequence, outcome.sealed);
  if (was_prompt && !outcome.tokens.empty()) keep_end(sequence, outcome.may_prune && !reason);
  if (reason) return end(sequence, *reason);
  if (outcome.may_prune) sequence.prune();
}

/// Not what lies past the end of an answer that ended among guesses.
void Scheduler::keep_sealed(const Sequence& sequence, std::vector<decode::Sealed>& sealed) {
  if (!keeps_prefix(sequence)) return;
  const std::vector<text::Token>& timeline = sequence.timeline();
  std::erase_if(sealed, [&](const decode::Sealed& of) {
    return (of.stretch + 1) * kernels::kKvBlockTokens > std::ssize(timeline);
  });
  prefixes_.add(sequence.request().cache_salt, timeline, sealed);
}

/// What a step ahead appends is not the sequence's yet, and what is pruned nobody else's. is_over: it will not be kept again.
void Scheduler::keep_end(Sequence& sequence, bool is_over) {
  if (!keeps_prefix(sequence) || !sequence.is_active()) return;
  const nn::KvCache& kv = stepper_.settled(sequence.kv());
  if (kv.is_pruned()) return;
  const Request& request = sequence.request();
  const auto held = std::min(kv.length(), std::ssize(sequence.timeline()));
  const auto tokens = std::span(sequence.timeline()).first(static_cast<size_t>(held));
  prefixes_.add_end(request.cache_salt, tokens, kv);
  if (disk_ == nullptr || !request.uses_disk || !is_over) return;
  disk_->set_token_seconds(pace_.prompt_token_seconds());
  disk_->keep(request.cache_salt, tokens, kv);
}

void Scheduler::end(Sequence& sequence, FinishReason reason) {
  keep_end(sequence, true);
  sequence.result().drafted.off_because = options_.no_guesses_because;
  sequence.end(reason);
}

/// A step begun ahead whose sequences can have more than one token each: of it little is computed yet.
void Scheduler::guess_rather_than_ahead() {
  if (plans_.empty()) return;
  std::vector<Ptr> going_on;
  for (const Ptr& sequence : plans_[0].of_row) {
    if (!sequence->ended() && !sequence->is_paused()) going_on.push_back(sequence);
  }
  const int64_t most = stepper_.max_logit_rows() - std::ssize(going_on);
  const std::vector<decode::Draft> guesses = guesser_.guesses_for(going_on, most);
  const auto is_none = [](const decode::Draft& draft) { return draft.tokens.empty(); };
  if (std::ranges::all_of(guesses, is_none)) return;
  stepper_.give_up();
  plans_.clear();
}

/// A step begun ahead that nobody wants.
void Scheduler::drop_dead_step() {
  if (plans_.empty()) return;
  const auto dead = [](const Ptr& sequence) {
    return sequence->ended() || sequence->is_cancelled();
  };
  if (!std::ranges::all_of(plans_[0].of_row, dead)) return;
  stepper_.give_up();
  plans_.clear();
}

}  // namespace sluice::engine
