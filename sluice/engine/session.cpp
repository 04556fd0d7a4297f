#include "sluice/engine/session.h"

#include <algorithm>
#include <chrono>

#include "sluice/base/error.h"
#include "sluice/decode/decoding.h"
#include "sluice/decode/stop.h"
#include "sluice/engine/engine_impl.h"

namespace sluice::engine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

struct Session::State {
  nn::KvCache cache;
  std::vector<text::Token> tokens;
  /// At the end of the last prompt: where a next turn that rewrites the answer can go on, also when a
  /// sliding window has since dropped what trimming back to there would need. Costs O(1).
  nn::KvCache checkpoint;
  bool busy = false;  ///< an answer is on its way, and its callback may call us

  void start_anew(Engine::Impl& engine) {
    cache = engine.new_cache();
    checkpoint = cache.snapshot();
    tokens.clear();
  }
};

Session::Session(Engine& engine) : engine_(engine) {
  nn::KvCache cache = engine.impl().new_cache();
  nn::KvCache checkpoint = cache.snapshot();
  state_ = std::make_unique<State>(State{std::move(cache), {}, std::move(checkpoint), false});
}

Session::~Session() {
  engine_.impl().worker.run([this] { state_.reset(); });
}

const std::vector<text::Token>& Session::tokens() const { return state_->tokens; }

void Session::reset() {
  engine_.impl().worker.run([this] { state_->start_anew(engine_.impl()); });
}

/// Brings the cache to the longest prefix of `wanted` it can hold, at least one token short of all of it
/// (the last one must be computed, for its logits). Returns that prefix's length.
int64_t Session::reuse(const std::vector<text::Token>& wanted) {
  State& s = *state_;
  const auto same =
      std::mismatch(s.tokens.begin(), s.tokens.end(), wanted.begin(), wanted.end() - 1);
  const int64_t prefix = same.first - s.tokens.begin();
  if (s.cache.can_trim(prefix)) {
    s.cache.trim(prefix);
  } else if (s.checkpoint.length() <= prefix) {
    s.cache = s.checkpoint.snapshot();
  } else {
    s.start_anew(engine_.impl());
  }
  s.tokens.resize(static_cast<size_t>(s.cache.length()));
  return s.cache.length();
}

/// One request on its way: prefill, then decode until something ends it. On the engine's thread.
class Session::Generation {
 public:
  Generation(Engine& engine, State& state, const Request& request,
             const std::function<void(const Event&)>& on_event)
      : engine_(engine),
        impl_(engine.impl()),
        state_(state),
        request_(request),
        on_event_(on_event),
        sampler_(request.sampling),
        detokenizer_(engine.tokenizer(), request.continues_text
                                             ? text::Detokenizer::Place::continuation
                                             : text::Detokenizer::Place::start),
        stops_(request.stop),
        sampled_(request.tokens) {}

  /// reused: of the prompt, what the cache holds already.
  Result run(int64_t reused) {
    const auto streamed_before = engine_.statistics();
    result_.prompt_tokens = std::ssize(request_.tokens);
    result_.reused_tokens = reused;
    const auto start = Clock::now();
    const std::optional<text::Token> first = prefill();
    result_.prefill_seconds = seconds_since(start);
    if (first) {
      if (impl_.options.checkpoints) state_.checkpoint = state_.cache.snapshot();
      const auto decode_start = Clock::now();
      decode(*first);
      result_.decode_seconds = seconds_since(decode_start);
    }
    state_.tokens = request_.tokens;
    state_.tokens.insert(state_.tokens.end(), result_.tokens.begin(), result_.tokens.end());
    state_.tokens.resize(static_cast<size_t>(state_.cache.length()));
    if (streamed_before) result_.streaming = *engine_.statistics() - *streamed_before;
    if (!result_.tokens.empty() && !stops_.found()) {
      std::string rest = stops_.push(detokenizer_.finish());
      rest += stops_.finish();
      if (!rest.empty()) emit(result_.tokens.back(), std::move(rest));
    }
    return std::move(result_);
  }

 private:
  /// The token that follows `sampled_`, which may be one ahead of what was emitted. On the stream's thread.
  text::Token choose(std::span<const float> logits) {
    sampled_.push_back(sampler_.sample(logits, sampled_, std::ssize(sampled_)));
    return sampled_.back();
  }

  /// The first token of the answer; nothing when cancelled.
  std::optional<text::Token> prefill() {
    const auto fresh =
        std::span(request_.tokens).subspan(static_cast<size_t>(result_.reused_tokens));
    text::Token next = -1;
    const bool whole =
        impl_.runner->run(state_.cache, fresh,
                          {.chunk = impl_.options.chunk,
                           .first_wanted = std::ssize(fresh) - 1,
                           .cancel = request_.cancel},
                          [&](int64_t, std::span<const float> logits) { next = choose(logits); });
    if (whole) return next;
    result_.finish_reason = FinishReason::cancelled;
    return std::nullopt;
  }

  void decode(text::Token next) {
    decode::Decoding decoding(
        *impl_.runner, {&state_.cache}, {next},
        [this](size_t, std::span<const float> logits) { return choose(logits); }, impl_.runs_ahead,
        request_.cancel);
    while (true) {
      if (const auto reason = take(next)) {
        result_.finish_reason = *reason;
        return;
      }
      const bool more = n_generated() + 1 < request_.max_tokens && n_timeline() < impl_.context;
      const auto& chosen = decoding.next(more);
      if (chosen.empty()) {
        result_.finish_reason = FinishReason::cancelled;
        return;
      }
      next = chosen[0];
    }
  }

  /// Emits a token that was chosen, unless it is the end. Returns what ends the answer, if something does.
  std::optional<FinishReason> take(text::Token token) {
    if (request_.cancel != nullptr && request_.cancel->load()) return FinishReason::cancelled;
    if (n_generated() >= request_.max_tokens) return FinishReason::max_tokens;  // none was wanted
    const auto& eos = engine_.tokenizer().eos();
    if (!request_.ignore_eos && std::ranges::find(eos, token) != eos.end())
      return FinishReason::eos;
    result_.tokens.push_back(token);
    emit(token, stops_.push(detokenizer_.push(token)));
    if (stops_.found()) return FinishReason::stop_string;
    if (n_generated() >= request_.max_tokens) return FinishReason::max_tokens;
    if (n_timeline() > impl_.context) return FinishReason::context_full;
    return std::nullopt;
  }

  void emit(text::Token token, std::string text) {
    result_.text += text;
    on_event_({token, std::move(text)});
  }

  int64_t n_generated() const { return std::ssize(result_.tokens); }
  int64_t n_timeline() const { return std::ssize(request_.tokens) + n_generated(); }

  Engine& engine_;
  Engine::Impl& impl_;
  State& state_;
  const Request& request_;
  const std::function<void(const Event&)>& on_event_;
  const decode::Sampler sampler_;
  text::Detokenizer detokenizer_;
  decode::StopMatcher stops_;
  std::vector<text::Token> sampled_;  // the timeline as the sampler sees it
  Result result_;
};

Result Session::generate(const Request& request,
                         const std::function<void(const Event&)>& on_event) {
  Engine::Impl& engine = engine_.impl();
  if (request.tokens.empty()) fail(ErrorKind::bad_request, "the prompt is empty");
  engine.check_tokens(request.tokens);
  for (const auto& [token, bias] : request.sampling.logit_bias)
    engine.check_ids({&token, 1}, "logit_bias");
  return engine.worker.run([&] {
    State& s = *state_;
    if (s.busy) fail(ErrorKind::bad_request, "this session is making an answer already");
    Generation generation(engine_, s, request, on_event);
    s.busy = true;
    try {
      Result result = generation.run(reuse(request.tokens));
      s.busy = false;
      return result;
    } catch (...) {
      s.start_anew(engine);
      s.busy = false;
      throw;
    }
  });
}

}  // namespace sluice::engine
