#include "sluice/engine/draft_model.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "sluice/base/error.h"
#include "sluice/decode/append.h"
#include "sluice/decode/prefix_index.h"
#include "sluice/engine/engine_impl.h"
#include "sluice/engine/shares.h"
#include "sluice/kernels/kernels.h"

namespace sluice::engine {
namespace {

using Clock = std::chrono::steady_clock;
using Tokens = std::span<const int32_t>;

/// Of a new measurement, what counts.
constexpr double kShare = 0.05;
/// A run of guesses ends where it is right with less than this probability.
constexpr float kLeastPath = 0.2F;
/// How many counted tokens the model's own probability weighs as much as.
constexpr double kPrior = 8;

struct Best {
  int32_t token = 0;
  float probability = 0;
};

/// The best token and softmax's probability of it.
Best best_of(std::span<const float> logits) {
  const auto best = std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit - *best));
  return {static_cast<int32_t>(best - logits.begin()), static_cast<float>(1 / sum)};
}

void check_vocabularies(const text::Tokenizer& draft, const text::Tokenizer& main) {
  const int64_t n = std::min(draft.vocab_size(), main.vocab_size());
  for (int32_t id = 0; id < n; ++id) {
    const std::string ours = draft.token_bytes(id, true), theirs = main.token_bytes(id, true);
    if (ours == theirs) continue;
    fail(ErrorKind::bad_request,
         "--draft-model: its token {} is {:?} and the model's is {:?}; it must be a smaller model "
         "with the same vocabulary",
         id, ours, theirs);
  }
}

}  // namespace

/// Of one sequence.
class DraftModel::Guesses : public decode::Drafter {
 public:
  Guesses(DraftModel& model, std::string salt)
      : model_(model), engine_(model.engine_->impl()), salt_(std::move(salt)) {}

  ~Guesses() override {
    if (!kv_) return;
    engine_.worker.run([this] {
      try {
        keep();
      } catch (const std::exception&) {  // it is computed again
      }
      before_.reset();
      kv_.reset();
    });
  }
  Guesses(const Guesses&) = delete;
  Guesses& operator=(const Guesses&) = delete;

  decode::Draft draft(Tokens timeline, int64_t most) override {
    learn(timeline);
    const auto fits = [&] { return std::ssize(timeline) + most <= engine_.context; };
    if (most < 1 || failed_ || timeline.empty() || !fits()) return {};
    if (std::ssize(timeline) != guessed_at_ || std::ssize(draft_.tokens) > most) {
      draft_ = {};
      try {
        engine_.worker.run([&] { guess(timeline, most); });
      } catch (const Error&) {  // its memory is too small, or its file went away
        failed_ = true;
        draft_ = {};
      }
      guessed_at_ = std::ssize(timeline);
    }
    return draft_;
  }

 private:
  /// What the timeline says by now of the tokens that were guessed.
  void learn(Tokens timeline) {
    for (; learned_ < probabilities_.size(); ++learned_) {
      const size_t at = static_cast<size_t>(guessed_at_) + learned_;
      if (at >= timeline.size()) return;
      const bool right = timeline[at] == draft_.tokens[learned_];
      model_.count(probabilities_[learned_], right);
      if (!right) probabilities_.resize(learned_);  // those after it were guessed for another text
    }
  }

  /// Lets go of what belongs to wrong guesses, and takes what was kept of such a timeline.
  void resume(Tokens timeline) {
    if (before_) {
      kv_ = std::move(*before_);
      before_.reset();
      tokens_.resize(static_cast<size_t>(kv_->length()));
    }
    const auto certain = timeline.first(timeline.size() - 1);
    const int64_t held = decode::common_prefix(tokens_, certain);
    if (!kv_ || !kv_->can_trim(held)) {
      kv_ = engine_.prefixes->find(salt_, certain);
    } else if (held < kv_->length()) {
      kv_->trim(held);
    }
    tokens_.assign(timeline.begin(), timeline.begin() + kv_->length());
  }

  /// Whether trimming `most` guesses might not give back what was: of states, and where a window goes on.
  bool needs_snapshot(int64_t length, int64_t most) const {
    const int64_t in_block = length % kernels::kKvBlockTokens;
    return engine_.kv_layout->has_states() || in_block + most >= kernels::kKvBlockTokens;
  }

  void guess(Tokens timeline, int64_t most) {
    resume(timeline);
    probabilities_.clear();
    learned_ = 0;
    Tokens next = timeline.subspan(tokens_.size());
    int32_t last = 0;
    float path = 1;
    while (true) {
      const Best best = append(next);
      const float chance = model_.chance_of(best.probability);
      draft_.tokens.push_back(best.token);
      draft_.chances.push_back(chance);
      probabilities_.push_back(best.probability);
      path *= chance;
      if (path < kLeastPath || std::ssize(draft_.tokens) >= most) return;
      if (!before_ && needs_snapshot(kv_->length(), most)) before_ = kv_->snapshot();
      last = best.token;
      next = {&last, 1};
    }
  }

  /// What follows them.
  Best append(Tokens tokens) {
    const auto start = Clock::now();
    Best best;
    decode::AppendOptions options = engine_.append_options(std::ssize(tokens) - 1);
    const bool few = std::ssize(tokens) <= DraftGovernor::kMostGuesses + 1;
    options.phase = few ? decode::Phase::decode : decode::Phase::prompt;
    engine_.check_tokens(tokens);
    decode::append(*engine_.stepper, *kv_, tokens, options,
                   [&](int64_t, std::span<const float> logits) { best = best_of(logits); });
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
    if (few) model_.count_seconds(std::chrono::duration<double>(Clock::now() - start).count());
    return best;
  }

  /// Puts them where the next request of this conversation finds them.
  void keep() {
    if (!engine_.options.keep_prefixes || failed_) return;
    if (before_) kv_ = std::move(*before_);
    const Tokens held = Tokens(tokens_).first(static_cast<size_t>(kv_->length()));
    std::vector<decode::Sealed> sealed;
    for (int64_t i = 0; i < std::ssize(held) / kernels::kKvBlockTokens; ++i)
      sealed.push_back({i, kv_->stretch(i)});
    engine_.prefixes->add(salt_, held, sealed);
    engine_.prefixes->add_end(salt_, held, *kv_);
  }

  DraftModel& model_;
  Engine::Impl& engine_;
  std::string salt_;
  std::optional<nn::KvCache> kv_;
  std::optional<nn::KvCache> before_;  // what kv_ was before guesses, where it cannot be trimmed
  std::vector<int32_t> tokens_;        // that kv_ has, guesses among them
  bool failed_ = false;

  decode::Draft draft_;
  std::vector<float> probabilities_;  // the model's, of the guesses that may yet turn out right
  size_t learned_ = 0;                // of them, those that did
  int64_t guessed_at_ = -1;           // the timeline's length
};

DraftModel::DraftModel(std::shared_ptr<Engine> engine, const text::Tokenizer& guessed_for)
    : engine_(std::move(engine)) {
  check_vocabularies(engine_->tokenizer(), guessed_for);
}

std::unique_ptr<decode::Drafter> DraftModel::drafter(std::string salt) {
  return std::make_unique<Guesses>(*this, std::move(salt));
}

float DraftModel::chance_of(float probability) const {
  const auto i = std::min(kBins - 1, static_cast<size_t>(probability * kBins));
  return static_cast<float>((bins_[i].right + kPrior * probability) / (bins_[i].all + kPrior));
}

void DraftModel::count(float probability, bool right) {
  Bin& bin = bins_[std::min(kBins - 1, static_cast<size_t>(probability * kBins))];
  bin.right += right ? 1 : 0;
  bin.all += 1;
  cost_.chance += kShare * ((right ? 1 : 0) - cost_.chance);
}

void DraftModel::count_seconds(double seconds) {
  if (cost_.seconds == 0) cost_.seconds = seconds;
  cost_.seconds += kShare * (std::min(seconds, 3 * cost_.seconds) - cost_.seconds);
}

namespace {

/// Without what concerns a model's experts, or what one model of a process may write.
EngineOptions options_of_draft(const EngineOptions& options) {
  EngineOptions draft = options;
  draft.context = 0;  // the trained one, or within a budget no more than the model has
  draft.sequence_tokens = std::max(options.context, options.sequence_tokens);
  draft.kv_reserve = 0;
  draft.load.kv_code = {};
  draft.load.top_k_experts = 0;
  draft.load.adaptive_experts = false;
  draft.chat_template.reset();
  draft.disk_cache = {};
  draft.speculation = Speculation::off;
  draft.skip_missing_experts = false;
  draft.policy.reset();
  draft.prefetch_experts = draft.yield_memory = true;
  draft.expert_profile.clear();
  draft.expert_trace.clear();
  draft.reader.timeline = nullptr;
  return draft;
}

}  // namespace

std::unique_ptr<Engine> open_with_draft(const std::filesystem::path& path,
                                        const std::filesystem::path& draft,
                                        const EngineOptions& options) {
  EngineOptions of_model = options, of_draft = options_of_draft(options);
  if (options.ram) {
    const std::vector<std::filesystem::path> both{path, draft};
    const std::vector<Share> shares = shares_of(both, of_draft, both.size());
    of_model.ram = shares[0].ram;
    of_model.baseline = shares[0].baseline;
    of_draft.ram = shares[1].ram;
    of_draft.baseline = shares[1].baseline;
  }
  of_model.draft_model = Engine::open(draft, of_draft);
  return Engine::open(path, of_model);
}

}  // namespace sluice::engine
