#include "sluice/decode/stepper.h"

#include <mlx/stream.h>
#include <mlx/transforms.h>

#include <algorithm>
#include <numeric>

#include "sluice/base/error.h"
#include "sluice/ops/elementwise.h"

namespace sluice::decode {
namespace {

/// The stretches that a sequence completed on its way from `before` tokens; of one that was pruned none is of its tokens alone.
void note_sealed(const nn::KvCache& kv, int64_t before, std::vector<Sealed>& sealed) {
  if (kv.is_pruned()) return;
  for (int64_t i = before / kernels::kKvBlockTokens; i < kv.length() / kernels::kKvBlockTokens; ++i)
    sealed.push_back({i, kv.stretch(i)});
}

/// A few tokens of a prompt need few experts, as decoding does. again: more of the prompt follows in each layer.
ops::ExpertUse use_of(std::span<const Row> rows, int64_t n_tokens, bool again) {
  const auto decodes = [](const Row& row) { return row.phase == Phase::decode; };
  ops::ExpertUse use{.may_skip = std::ranges::all_of(rows, decodes)};
  if (n_tokens > ops::kShortStep && std::ranges::none_of(rows, decodes))
    use.use = again ? residency::Use::pass_again : residency::Use::pass;
  return use;
}

}  // namespace

void Stepper::Step::restore() {
  for (auto it = before.rbegin(); it != before.rend(); ++it) *it->first = it->second;
}

void Stepper::Step::drop_wrong_guesses(size_t i, Outcome& outcome) const {
  const Row& row = rows[i];
  const int64_t n_wrong = row.n_drafted - (std::ssize(outcome.tokens) - 1);
  if (row.n_drafted == 0 || n_wrong == 0) return;
  const int64_t length = row.kv->length() - n_wrong;
  if (row.kv->can_trim(length)) {
    row.kv->trim(length);
  } else {
    *row.kv = before[i].second;
  }
  std::erase_if(outcome.sealed, [&](const Sealed& sealed) {
    return (sealed.stretch + 1) * kernels::kKvBlockTokens > row.kv->length();
  });
}

const nn::KvCache& Stepper::settled(const nn::KvCache& kv) const {
  for (const auto& step : steps_) {
    for (const auto& [of, before] : step->before) {
      if (of == &kv) return before;
    }
  }
  return kv;
}

Stepper::~Stepper() {
  while (!steps_.empty()) give_up();
}

int64_t Stepper::max_ahead() const { return std::min(ops::kShortStep, max_logit_rows()); }

int64_t Stepper::max_logit_rows() const {
  return std::max<int64_t>(
      1, static_cast<int64_t>(limits_.logits.count) / (4 * model_.config().vocab_size));
}

mx::array Stepper::tokens_of(std::span<const Row> rows, const Step& step) const {
  if (rows[0].from) {
    std::vector<int> from;
    const Step& before = *steps_.front();
    for (const Row& row : rows) from.push_back(before.chosen_at[row.from.value()]);
    std::vector<int> all(static_cast<size_t>(before.chosen->size()));
    std::iota(all.begin(), all.end(), 0);
    if (from == all) return *before.chosen;
    return ops::take_tokens(step.context, *before.chosen, std::move(from));
  }
  std::vector<int32_t> tokens;
  for (const Row& row : rows) tokens.insert(tokens.end(), row.tokens.begin(), row.tokens.end());
  return mx::array(tokens.data(), mx::Shape{static_cast<int>(tokens.size())}, mx::int32);
}

/// Room in the caches is made now. several: the step has several passes. again: more of a prompt follows in each layer.
nn::Step Stepper::graph_of(std::span<const Row> rows, Step& step, const Ends& ends, bool several,
                           bool again) {
  // For all of them, before one is changed: a pass that does not fit fails as a whole.
  std::vector<residency::KvNeed> needs;
  for (const Row& row : rows) {
    for (const residency::KvNeed& need : row.kv->needs(row.n_tokens(), ends.at(row.kv), row.n_kept))
      needs.push_back(need);
  }
  residency::KvReservation blocks = nn::reserve_or_throw(rows[0].kv->pool(), needs);
  mx::array tokens = tokens_of(rows, step);
  std::vector<int64_t> positions;
  std::vector<int> logit_rows, hidden_rows, raw_rows;
  std::vector<std::vector<ops::SequenceKv>> groups(model_.kv_layout().groups.size());
  for (const Row& row : rows) {
    const auto first_row = static_cast<int64_t>(positions.size());
    const int64_t position = row.kv->length(), n = row.n_tokens();
    for (int64_t i = 0; i < n; ++i) {
      if (i >= row.logits_from) logit_rows.push_back(static_cast<int>(positions.size()));
      if (row.see_hidden && i >= row.hidden_from)
        hidden_rows.push_back(static_cast<int>(positions.size()));
      if (row.see_raw) raw_rows.push_back(static_cast<int>(positions.size()));
      positions.push_back(position + i);
    }
    step.before.emplace_back(row.kv, *row.kv);
    auto views = row.kv->append(first_row, n, blocks, ends.at(row.kv), row.n_kept);
    for (size_t g = 0; g < groups.size(); ++g) groups[g].push_back(std::move(views[g]));
    step.outcomes->emplace_back();
    note_sealed(*row.kv, position, step.outcomes->back().sealed);
  }
  std::vector<ops::KvView> kv;
  for (auto& group : groups)
    kv.push_back(std::make_shared<const std::vector<ops::SequenceKv>>(std::move(group)));
  const int64_t n_tokens = std::ssize(positions);
  const bool is_long = n_tokens > ops::kShortStep;
  return nn::Step{
      .context = step.context,
      .tokens = std::move(tokens),
      .positions = std::make_shared<const std::vector<int64_t>>(std::move(positions)),
      .kv = std::move(kv),
      .layout = model_.kv_layout(),
      .logit_rows = std::move(logit_rows),
      .hidden_rows = std::move(hidden_rows),
      .raw_rows = std::move(raw_rows),
      .experts = use_of(rows, n_tokens, again),
      // Of several, nothing else would have those without logits store their keys and values.
      .evaluate_layers = is_long || several,
      .moe_layers = std::make_shared<ops::MoeLayers>(),
      .angles = {},
      .first_layers = {},
  };
}

void Stepper::build(std::vector<std::vector<Row>> passes, Step& step) {
  Ends ends;
  for (const std::vector<Row>& pass : passes) {
    for (const Row& row : pass)
      ends.try_emplace(row.kv, row.kv->length()).first->second += row.n_tokens();
  }
  std::vector<nn::Step> graphs;
  for (size_t i = 0; i < passes.size(); ++i)
    graphs.push_back(graph_of(passes[i], step, ends, passes.size() > 1, i + 1 < passes.size()));
  int n_logits = 0;
  for (std::vector<Row>& pass : passes) {
    for (Row& row : pass) {
      const int64_t wanted = std::max<int64_t>(0, row.n_tokens() - row.logits_from);
      n_logits += static_cast<int>(wanted);
      step.chosen_at.push_back(wanted == 0 ? -1 : n_logits - 1);
      step.rows.push_back(std::move(row));
    }
  }
  const std::optional<mx::array> logits = model_.forward(graphs);
  if (logits) step.chosen = choose(*logits, step);
  step.shown = show_hidden(graphs, step);
  if (graphs.size() == 1 && !graphs[0].evaluate_layers) step.first_layers = graphs[0].first_layers;
}

mx::array Stepper::choose(const mx::array& logits, Step& step) const {
  struct Wanted {
    size_t row, index;             // of the row's wanted positions
    std::optional<int32_t> guess;  // the token that stands there
    int64_t position;
    Choose choose;
  };
  std::vector<Wanted> wanted;
  std::vector<int> begins;
  for (size_t i = 0; i < step.rows.size(); ++i) {
    const Row& row = step.rows[i];
    if (row.logits_from < row.n_tokens()) begins.push_back(static_cast<int>(wanted.size()));
    for (int64_t t = row.logits_from; t < row.n_tokens(); ++t) {
      std::optional<int32_t> guess;
      if (t >= row.n_tokens() - row.n_drafted) guess = row.tokens[static_cast<size_t>(t)];
      wanted.push_back({i, static_cast<size_t>(t - row.logits_from), guess,
                        step.before[i].second.length() + t, row.choose});
    }
  }
  return ops::choose(step.context, logits, std::move(begins), limits_.choose_together,
                     [wanted = std::move(wanted), outcomes = step.outcomes](
                         size_t i, std::span<const float> of) -> int32_t {
                       const Wanted& w = wanted[i];
                       Outcome& outcome = (*outcomes)[w.row];
                       const bool follows = outcome.tokens.size() == w.index &&
                                            (!w.guess || outcome.tokens.back() == *w.guess);
                       if (outcome.error || !follows) return 0;
                       try {
                         outcome.tokens.push_back(w.choose(w.position, of));
                         return outcome.tokens.back();
                       } catch (...) {
                         outcome.error = std::current_exception();
                         return 0;
                       }
                     });
}

std::optional<mx::array> Stepper::show_hidden(std::span<const nn::Step> graphs,
                                              const Step& step) const {
  struct Wanted {
    int64_t position;
    SeeHidden see;
  };
  std::vector<mx::array> hidden;
  std::vector<std::vector<Wanted>> wanted;  // by the rows of each
  size_t i = 0;
  for (const nn::Step& graph : graphs) {
    std::vector<Wanted> of_hidden, of_raw;
    for (int64_t left = graph.tokens.shape(0); left > 0; left -= step.rows[i++].n_tokens()) {
      const Row& row = step.rows[i];
      const int64_t position = step.before[i].second.length();
      for (int64_t t = 0; t < row.n_tokens(); ++t) {
        if (row.see_hidden && t >= row.hidden_from)
          of_hidden.push_back({position + t, row.see_hidden});
        if (row.see_raw) of_raw.push_back({position + t, row.see_raw});
      }
    }
    const auto add = [&](const std::optional<mx::array>& states, std::vector<Wanted>& of) {
      if (!states) return;
      hidden.push_back(*states);
      wanted.push_back(std::move(of));
    };
    add(graph.hidden, of_hidden);
    add(graph.raw, of_raw);
  }
  if (hidden.empty()) return std::nullopt;
  return ops::show(step.context, std::move(hidden),
                   [wanted = std::move(wanted)](size_t pass, int row, std::span<const float> of) {
                     const Wanted& w = wanted[pass][static_cast<size_t>(row)];
                     w.see(w.position, of);
                   });
}

/// What is evaluated of it.
std::vector<mx::array> Stepper::results(const Step& step) {
  std::vector<mx::array> results;
  for (const auto& result : {step.chosen, step.shown}) {
    if (result) results.push_back(*result);
  }
  return results;
}

void Stepper::start(Step& step) {
  if (std::exchange(step.started, true)) return;
  step.first_layers.reset();  // their memory is wanted again
  try {
    if (step.chosen || step.shown) mx::async_eval(results(step));
  } catch (...) {
    step.broken = std::current_exception();
    step.errors.end();
  }
}

void Stepper::begin(std::vector<std::vector<Row>> passes) {
  auto step = std::make_unique<Step>(context_);
  step->outcomes = std::make_shared<std::vector<Outcome>>();
  std::vector<const std::atomic<bool>*> cancels;
  for (const auto& pass : passes) {
    for (const Row& row : pass) cancels.push_back(row.cancel);
  }
  if (std::ranges::find(cancels, nullptr) == cancels.end())
    step->errors.set_cancels(std::move(cancels));
  if (!steps_.empty()) {
    start(*steps_.front());
    if (steps_.front()->broken) std::rethrow_exception(steps_.front()->broken);
    if (std::ranges::any_of(steps_.front()->rows, [](const Row& row) { return row.n_drafted > 0; }))
      fail(ErrorKind::internal, "a step was begun ahead of one that has guesses");
    step->errors.follow(&steps_.front()->errors);
  }
  try {
    build(std::move(passes), *step);
    if (step->first_layers && !steps_.empty()) {
      mx::async_eval(*step->first_layers);
      step->ahead = true;
    }
  } catch (...) {
    step->restore();
    throw;
  }
  steps_.push_back(std::move(step));
}

void Stepper::give_up() {
  if (steps_.empty()) return;
  Step& step = *steps_.back();
  step.errors.end();
  if (step.broken) {
    mx::synchronize(context_.stream);
  } else if (step.started) {
    for (mx::array& result : results(step)) result.wait();
  } else if (step.ahead) {
    step.first_layers->wait();
  }
  step.restore();
  steps_.pop_back();
}

std::vector<Outcome> Stepper::finish() {
  Step& step = *steps_.front();
  start(step);
  std::exception_ptr error;
  bool whole = true;
  try {
    if (step.broken) {
      mx::synchronize(context_.stream);
      std::rethrow_exception(step.broken);
    }
    for (mx::array& result : results(step)) result.wait();
    whole = !step.errors.is_set() || step.errors.check();
    if (whole) context_.weights.check_intact();
  } catch (...) {
    error = std::current_exception();
  }
  std::vector<Outcome> outcomes = std::move(*step.outcomes);
  if (error || !whole) {
    if (steps_.size() > 1) give_up();  // what takes its tokens
    step.restore();
    for (Outcome& outcome : outcomes) outcome = {.cancelled = !whole, .error = error};
  } else {
    for (size_t i = 0; i < outcomes.size(); ++i) {
      if (outcomes[i].error) continue;
      step.drop_wrong_guesses(i, outcomes[i]);
      outcomes[i].may_prune = step.rows[i].n_kept > 0;
    }
    if (steps_.size() > 1) steps_.back()->errors.follow(nullptr);
  }
  steps_.pop_front();
  return outcomes;
}

}  // namespace sluice::decode
