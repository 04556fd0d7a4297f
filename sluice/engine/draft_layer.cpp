#include "sluice/engine/draft_layer.h"

#include <mlx/transforms.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "sluice/base/error.h"

namespace sluice::engine {
namespace {

using Clock = std::chrono::steady_clock;
using Tokens = std::span<const int32_t>;

/// States of a sequence that wait until guesses are wanted.
constexpr int64_t kMostWaiting = 64;
/// States that nobody saw, since a prompt's keys and values were kept and the layer's were not: up to so many are zeros,
/// so that what was kept of the tokens before goes on.
constexpr int64_t kMostUnknown = 16;

}  // namespace

/// Of one sequence. A row of its keys and values is of the state at a position and the token after it.
class DraftLayer::Chain : public Guesses {
 public:
  Chain(DraftLayer& layer, std::string salt)
      : Guesses(layer), layer_(layer), salt_(std::move(salt)) {}

  bool sees_states() const override { return true; }

  void begin(Tokens timeline, int64_t n_held) override {
    next_ = n_held;
    states_.clear();
    guarded([&] {
      // Positions before n_held, of which each is followed by the next token.
      const Tokens after = timeline.subspan(1, static_cast<size_t>(n_held));
      kv_ = layer_.kept_.find(salt_, after);
      const int64_t n_unknown = n_held - kv_->length();
      is_whole_ = n_unknown <= kMostUnknown;
      if (!is_whole_) kv_ = layer_.new_cache();
      followed_by_.assign(after.begin(), after.begin() + kv_->length());
      if (!is_whole_ || n_unknown == 0) return;
      const std::vector<float> zeros(static_cast<size_t>(n_unknown * layer_.hidden_size_));
      (void)feed(after.last(static_cast<size_t>(n_unknown)), zeros, 0);
    });
  }

  void see(int64_t position, std::span<const float> state) override {
    const int64_t at = position - next_;
    if (failed() || at < 0 || at > n_waiting()) return;  // it was fed already
    const auto begin = static_cast<size_t>(at) * state.size();
    if (at == n_waiting()) states_.resize(begin + state.size());
    std::ranges::copy(state, states_.begin() + static_cast<ptrdiff_t>(begin));
  }

  void follow(Tokens timeline) override {
    drop_wrong(timeline);
    if (n_waiting() < kMostWaiting) return;
    guarded(
        [&] { (void)feed_waiting(timeline, n_waiting() - 1, 0); });  // the last says what follows
  }

  void end(Tokens timeline) override {
    drop_wrong(timeline);
    if (failed() || !kv_ || !is_whole_ || layer_.options_.kept.count == 0) return;
    guarded([&] {
      (void)feed_waiting(timeline, n_waiting(), 0);
      layer_.kept_.add_whole(salt_, followed_by_, *kv_);
    });
  }

 protected:
  void guess(Tokens timeline, int64_t /*most*/) override {
    drop_wrong(timeline);
    if (!kv_ || n_waiting() == 0 || next_ + n_waiting() != std::ssize(timeline) - 1) return;
    guarded([&] { make(timeline); });
  }

 private:
  void make(Tokens timeline) {
    const bool few = n_waiting() <= DraftGovernor::kMostGuesses + 1;
    const int64_t length = kv_->length() + n_waiting();
    auto start = Clock::now();
    std::optional<models::MtpLayer::Said> said = feed_waiting(timeline, n_waiting(), 1);
    if (few) layer_.count_seconds(std::chrono::duration<double>(Clock::now() - start).count());
    while (add({said->logits.data<float>(), said->logits.size()})) {
      start = Clock::now();
      const int32_t token = last();
      said = layer_.run(*kv_, {&token, 1}, said->states, 1);
      layer_.count_seconds(std::chrono::duration<double>(Clock::now() - start).count());
    }
    kv_->trim(length);
  }

  int64_t n_waiting() const { return std::ssize(states_) / layer_.hidden_size_; }

  /// The last token's state is not known, and of those after wrong guesses none is.
  void drop_wrong(Tokens timeline) {
    const int64_t known = std::max<int64_t>(0, std::ssize(timeline) - 1 - next_);
    if (known < n_waiting()) states_.resize(static_cast<size_t>(known * layer_.hidden_size_));
  }

  /// The first n of them.
  std::optional<models::MtpLayer::Said> feed_waiting(Tokens timeline, int64_t n, int64_t n_wanted) {
    const auto end = states_.begin() + n * layer_.hidden_size_;
    const std::vector<float> states(states_.begin(), end);
    states_.erase(states_.begin(), end);
    const Tokens after = timeline.subspan(static_cast<size_t>(next_) + 1, static_cast<size_t>(n));
    next_ += n;
    return feed(after, states, n_wanted);
  }

  /// What is said of the last.
  std::optional<models::MtpLayer::Said> feed(Tokens after, std::span<const float> states,
                                             int64_t n_wanted) {
    std::optional<models::MtpLayer::Said> said;
    for (int64_t at = 0; at < std::ssize(after);) {
      const int64_t n = std::min(layer_.options_.chunk, std::ssize(after) - at);
      const auto part = states.subspan(static_cast<size_t>(at * layer_.hidden_size_),
                                       static_cast<size_t>(n * layer_.hidden_size_));
      const bool is_last = at + n == std::ssize(after);
      said = layer_.run(*kv_, after.subspan(static_cast<size_t>(at), static_cast<size_t>(n)),
                        layer_.rows(part), is_last ? n_wanted : 0);
      at += n;
    }
    followed_by_.insert(followed_by_.end(), after.begin(), after.end());
    return said;
  }

  /// Where its memory is too small, it says nothing any more, and has none.
  template <typename Job>
  void guarded(Job job) {
    try {
      if (!failed()) job();
    } catch (const Error&) {
      give_up();
    }
    if (!failed()) return;
    kv_.reset();
    states_ = {};
  }

  DraftLayer& layer_;
  std::string salt_;
  std::optional<nn::KvCache> kv_;
  bool is_whole_ = true;              // row i is of position i
  std::vector<int32_t> followed_by_;  // by row
  int64_t next_ = 0;                  // the position whose state comes next into kv_
  std::vector<float> states_;         // from there on: [n_waiting(), hidden_size]
};

DraftLayer::DraftLayer(const models::MtpLayer& layer, const nn::Config& config,
                       const ops::Context& context, residency::KvPool& pool, const Options& options)
    : layer_(layer),
      context_(context),
      pool_(pool),
      options_(options),
      hidden_size_(config.hidden_size),
      layout_(std::make_shared<const nn::KvLayout>(layer.kv_layout())),
      kept_(layout_, pool, options.kept) {}

std::unique_ptr<GuessMaker::Guesses> DraftLayer::guesses(std::string salt) {
  return std::make_unique<Chain>(*this, std::move(salt));
}

mx::array DraftLayer::rows(std::span<const float> states) const {
  const auto n = static_cast<int>(std::ssize(states) / hidden_size_);
  return mx::array(states.data(), {n, static_cast<int>(hidden_size_)}, mx::float32);
}

std::optional<models::MtpLayer::Said> DraftLayer::run(nn::KvCache& kv, Tokens tokens,
                                                      const mx::array& states,
                                                      int64_t n_wanted) const {
  const int64_t n = std::ssize(tokens);
  residency::KvReservation blocks = nn::reserve_or_throw(pool_, kv.needs(n));
  std::vector<int64_t> positions(static_cast<size_t>(n));
  std::iota(positions.begin(), positions.end(), kv.length());
  std::vector<int> wanted(static_cast<size_t>(n_wanted));
  std::iota(wanted.begin(), wanted.end(), static_cast<int>(n - n_wanted));
  std::vector<ops::KvView> views;
  for (ops::SequenceKv& view : kv.append(0, n, blocks))
    views.push_back(std::make_shared<const std::vector<ops::SequenceKv>>(1, std::move(view)));
  ops::ErrorSlot errors;
  const ops::Context context = context_.with(errors);
  const nn::Step step{
      .context = context,
      .tokens = mx::array(tokens.data(), {static_cast<int>(n)}, mx::int32),
      .positions = std::make_shared<const std::vector<int64_t>>(std::move(positions)),
      .kv = std::move(views),
      .layout = *layout_,
      .logit_rows = std::move(wanted),
      .experts = {},
      .angles = {},
      .first_layers = {},
  };
  try {
    std::optional<models::MtpLayer::Said> said = layer_(states, step);
    if (said) mx::eval({said->logits, said->states});
    errors.check();
    context.weights.check_intact();
    return said;
  } catch (...) {
    mx::synchronize(context.stream);  // what was begun uses the slot
    throw;
  }
}

void DraftLayer::logits(Tokens tokens, std::span<const float> states,
                        const decode::LogitsSink& sink) {
  nn::KvCache kv = new_cache();
  for (int64_t at = 1; at < std::ssize(tokens);) {
    const int64_t n = std::min(options_.chunk, std::ssize(tokens) - at);
    const auto part = states.subspan(static_cast<size_t>((at - 1) * hidden_size_),
                                     static_cast<size_t>(n * hidden_size_));
    const auto said =
        run(kv, tokens.subspan(static_cast<size_t>(at), static_cast<size_t>(n)), rows(part), n);
    const auto vocab_size = said->logits.size() / static_cast<size_t>(n);
    for (int64_t i = 0; i < n; ++i)
      sink(at + i, {said->logits.data<float>() + static_cast<size_t>(i) * vocab_size, vocab_size});
    at += n;
  }
}

Bytes DraftLayer::most_states(int64_t hidden_size, int64_t chunk, int64_t n_sequences) {
  constexpr int64_t kCopies =
      7;  // as seen, fed, normed, joined (of both) and projected, and what is fed beside them
  const int64_t rows = kCopies * (chunk + kMostWaiting) + n_sequences * kMostWaiting;
  return {static_cast<uint64_t>(rows * hidden_size) * sizeof(float)};
}

}  // namespace sluice::engine
