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

std::string_view to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::eos:
      return "stop";
    case FinishReason::stop_string:
      return "stop_string";
    case FinishReason::max_tokens:
      return "length";
    case FinishReason::context_full:
      return "context_full";
    case FinishReason::cancelled:
      return "cancelled";
  }
  return "";
}

double Result::prefill_tps() const {
  return prefill_seconds > 0 ? static_cast<double>(prompt_tokens - reused_tokens) / prefill_seconds
                             : 0;
}

double Result::decode_tps() const {
  return decode_seconds > 0 && tokens.size() > 1
             ? static_cast<double>(tokens.size() - 1) / decode_seconds
             : 0;
}

struct Session::State {
  nn::KvCache cache;
  std::vector<text::Token> tokens;
  /// At the end of the last prompt: where a next turn that rewrites the answer can go on, also when a
  /// sliding window has since dropped what trimming back to there would need. Costs O(1).
  nn::KvCache checkpoint;

  void start_anew(Engine::Impl& engine) {
    cache = engine.new_cache();
    checkpoint = cache.snapshot();
    tokens.clear();
  }
};

Session::Session(Engine& engine) : engine_(engine) {
  nn::KvCache cache = engine.impl().new_cache();
  nn::KvCache checkpoint = cache.snapshot();
  state_ = std::make_unique<State>(State{std::move(cache), {}, std::move(checkpoint)});
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

Result Session::generate(const Request& request,
                         const std::function<void(const Event&)>& on_event) {
  Engine::Impl& engine = engine_.impl();
  if (request.tokens.empty()) fail(ErrorKind::bad_request, "the prompt is empty");
  engine.check_tokens(request.tokens);
  for (const auto& [token, bias] : request.sampling.logit_bias) engine.check_tokens({&token, 1});
  const text::Tokenizer& tokenizer = engine_.tokenizer();
  return engine.worker.run([&]() -> Result {
    State& s = *state_;
    Result result;
    try {
      const auto streamed_before = engine_.statistics();
      const auto start = Clock::now();
      const decode::Sampler sampler(request.sampling);
      using Place = text::Detokenizer::Place;
      text::Detokenizer detokenizer(tokenizer,
                                    request.continues_text ? Place::continuation : Place::start);
      decode::StopMatcher stops(request.stop);
      result.prompt_tokens = static_cast<int64_t>(request.tokens.size());
      result.reused_tokens = reuse(request.tokens);
      std::vector<text::Token> sampled =
          request.tokens;  // the sampler's, which may be a token ahead
      const auto choose = [&](size_t, std::span<const float> logits) {
        sampled.push_back(sampler.sample(logits, sampled, std::ssize(sampled)));
        return sampled.back();
      };
      text::Token next = -1;
      const auto fresh =
          std::span(request.tokens).subspan(static_cast<size_t>(result.reused_tokens));
      const auto last = static_cast<int64_t>(fresh.size()) - 1;
      const int64_t done = engine.runner->run(
          s.cache, fresh,
          {.chunk = engine.options.chunk, .first_wanted = last, .cancel = request.cancel},
          [&](int64_t, std::span<const float> logits) { next = choose(0, logits); });
      const auto emit = [&](text::Token token, std::string text) {
        result.text += text;
        on_event({token, std::move(text)});
      };
      result.finish_reason = FinishReason::max_tokens;
      result.prefill_seconds = seconds_since(start);
      if (engine.options.checkpoints) s.checkpoint = s.cache.snapshot();
      const auto decode_start = Clock::now();
      std::optional<decode::Decoding> decoding(std::in_place, *engine.runner, std::vector{&s.cache},
                                               std::vector{next}, choose, engine.runs_ahead);
      while (true) {
        if (done <= last || (request.cancel != nullptr && request.cancel->load())) {
          result.finish_reason = FinishReason::cancelled;
          break;
        }
        if (static_cast<int64_t>(result.tokens.size()) >= request.max_tokens) break;
        const auto& eos = tokenizer.eos();
        if (!request.ignore_eos && std::find(eos.begin(), eos.end(), next) != eos.end()) {
          result.finish_reason = FinishReason::eos;
          break;
        }
        result.tokens.push_back(next);
        emit(next, stops.push(detokenizer.push(next)));
        if (stops.found()) {
          result.finish_reason = FinishReason::stop_string;
          break;
        }
        if (static_cast<int64_t>(result.tokens.size()) >= request.max_tokens) break;
        const auto n_tokens = static_cast<int64_t>(request.tokens.size() + result.tokens.size());
        if (n_tokens > engine.context) {
          result.finish_reason = FinishReason::context_full;
          break;
        }
        next = decoding->next(static_cast<int64_t>(result.tokens.size()) + 1 < request.max_tokens &&
                              n_tokens < engine.context)[0];
      }
      result.decode_seconds = seconds_since(decode_start);
      decoding.reset();
      s.tokens = request.tokens;
      s.tokens.insert(s.tokens.end(), result.tokens.begin(), result.tokens.end());
      s.tokens.resize(static_cast<size_t>(s.cache.length()));
      if (streamed_before) result.streaming = *engine_.statistics() - *streamed_before;
      if (!result.tokens.empty() && !stops.found()) {
        std::string rest = stops.push(detokenizer.finish());
        rest += stops.finish();
        if (!rest.empty()) emit(result.tokens.back(), std::move(rest));
      }
    } catch (...) {
      s.start_anew(engine);
      throw;
    }
    return result;
  });
}

}  // namespace sluice::engine
