#include "sluice/engine/draft_model.h"

#include <algorithm>
#include <chrono>

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
class DraftModel::Chain : public Guesses {
 public:
  Chain(DraftModel& model, std::string salt)
      : Guesses(model), model_(model), engine_(model.engine_->impl()), salt_(std::move(salt)) {}

  ~Chain() override {
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
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

 protected:
  bool fits(Tokens timeline, int64_t most) const override {
    return std::ssize(timeline) + most <= engine_.context;
  }

  void guess(Tokens timeline, int64_t most) override {
    engine_.worker.run([&] { make(timeline, most); });
  }

 private:
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

  void make(Tokens timeline, int64_t most) {
    resume(timeline);
    Tokens next = timeline.subspan(tokens_.size());
    int32_t token = 0;
    while (append(next)) {
      if (!before_ && needs_snapshot(kv_->length(), most)) before_ = kv_->snapshot();
      token = last();
      next = {&token, 1};
    }
  }

  /// Whether what follows them is to be followed too.
  bool append(Tokens tokens) {
    const auto start = Clock::now();
    bool more = false;
    decode::AppendOptions options = engine_.append_options(std::ssize(tokens) - 1);
    const bool few = std::ssize(tokens) <= DraftGovernor::kMostGuesses + 1;
    options.phase = few ? decode::Phase::decode : decode::Phase::prompt;
    engine_.check_tokens(tokens);
    decode::append(*engine_.stepper, *kv_, tokens, options,
                   [&](int64_t, std::span<const float> logits) { more = add(logits); });
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
    if (few) model_.count_seconds(std::chrono::duration<double>(Clock::now() - start).count());
    return more;
  }

  /// Puts them where the next request of this conversation finds them.
  void keep() {
    if (!engine_.options.keep_prefixes || failed()) return;
    if (before_) kv_ = std::move(*before_);
    const Tokens held = Tokens(tokens_).first(static_cast<size_t>(kv_->length()));
    engine_.prefixes->add_whole(salt_, held, *kv_);
  }

  DraftModel& model_;
  Engine::Impl& engine_;
  std::string salt_;
  std::optional<nn::KvCache> kv_;
  std::optional<nn::KvCache> before_;  // what kv_ was before guesses, where it cannot be trimmed
  std::vector<int32_t> tokens_;        // that kv_ has, guesses among them
};

DraftModel::DraftModel(std::shared_ptr<Engine> engine, const text::Tokenizer& guessed_for)
    : engine_(std::move(engine)) {
  check_vocabularies(engine_->tokenizer(), guessed_for);
}

std::unique_ptr<GuessMaker::Guesses> DraftModel::guesses(std::string salt) {
  return std::make_unique<Chain>(*this, std::move(salt));
}

namespace {

/// Without what concerns a model's experts, or what one model of a process may write.
EngineOptions options_of_draft(const EngineOptions& options) {
  EngineOptions draft = options;
  draft.context = 0;  // the trained one, or within a budget no more than the model has
  draft.sequence_tokens = std::max(options.context, options.sequence_tokens);
  draft.kv_reserve = 0;
  draft.load.kv_code = {};
  draft.load.state_type = kernels::KvType::f32;
  draft.load.max_kv_size = 0;
  draft.snap_kv = 0;
  draft.spill = {};
  draft.load.top_k_experts = 0;
  draft.load.adaptive_experts = false;
  draft.chat_template.reset();
  draft.disk_cache = {};
  draft.speculation = Speculation::off;
  draft.guessers = Guessers::all;
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
