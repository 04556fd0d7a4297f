#include "sluice/engine/trial.h"

#include <chrono>

#include "sluice/base/error.h"
#include "sluice/decode/greedy.h"
#include "sluice/decode/sampler.h"
#include "sluice/engine/engine_impl.h"

namespace sluice::engine {
namespace {

using Clock = std::chrono::steady_clock;
using Tokens = std::vector<text::Token>;

double seconds_between(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

/// Knuth's linear congruential generator (MMIX): the same tokens on every machine.
class RandomTokens {
 public:
  explicit RandomTokens(int64_t vocab_size) : vocab_size_(static_cast<uint64_t>(vocab_size)) {}

  text::Token next() {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<text::Token>((state_ >> 33) % vocab_size_);
  }
  Tokens next(int64_t n) {
    Tokens tokens(static_cast<size_t>(n));
    for (text::Token& token : tokens) token = next();
    return tokens;
  }

 private:
  uint64_t vocab_size_;
  uint64_t state_ = 1;
};

}  // namespace

struct Trial::State {
  struct Sequence {
    nn::KvCache filled;  ///< `depth` tokens
    Tokens prompt;
    text::Token first;  ///< what decoding starts from when there is no prompt
  };
  std::vector<Sequence> sequences;
  residency::Trace trace;
};

Trial::Trial(Engine& engine, const Workload& workload)
    : engine_(engine), workload_(workload), state_(std::make_unique<State>()) {
  const Workload& w = workload_;
  if (w.depth + w.prompt + w.generate > engine.context()) {
    fail(ErrorKind::bad_request,
         "{} tokens of depth, {} of the prompt and {} more do not fit the context of {}", w.depth,
         w.prompt, w.generate, engine.context());
  }
  Engine::Impl& e = engine_.impl();
  e.worker.run([&] {
    state_->trace.n_layers = static_cast<int>(engine_.config().n_layers);
    state_->trace.n_experts = static_cast<int>(engine_.config().n_experts());
    RandomTokens random(engine_.config().vocab_size);
    for (int64_t i = 0; i < w.batch; ++i) {
      nn::KvCache cache = e.new_cache();
      decode::append(*e.stepper, cache, random.next(w.depth), e.append_options(w.depth), {});
      Tokens prompt = random.next(w.prompt);
      state_->sequences.push_back({std::move(cache), std::move(prompt), random.next()});
    }
  });
}

Trial::~Trial() {
  engine_.impl().worker.run([this] { state_.reset(); });
}

const residency::Trace& Trial::trace() const { return state_->trace; }

Timing Trial::run() {
  Engine::Impl& e = engine_.impl();
  return e.worker.run([&] {
    std::vector<nn::KvCache> caches;
    for (auto& sequence : state_->sequences) caches.push_back(sequence.filled.snapshot());
    std::vector<nn::KvCache*> batch;
    for (nn::KvCache& cache : caches) batch.push_back(&cache);
    Tokens next;

    const auto at_start = engine_.statistics();
    const auto start = Clock::now();
    for (size_t i = 0; i < caches.size(); ++i) {
      const auto& [filled, prompt, first] = state_->sequences[i];
      next.push_back(first);
      decode::append(*e.stepper, caches[i], prompt, e.append_options(std::ssize(prompt) - 1),
                     [&](int64_t, std::span<const float> logits) {
                       next.back() = decode::best_token(logits);
                     });
    }
    const auto prefilled = Clock::now();
    const auto before = engine_.statistics();
    if (e.records) e.records->copy_to(&state_->trace);
    decode::continue_greedily(*e.stepper, batch, next, workload_.generate, e.runs_ahead,
                              [](std::span<const text::Token>) {});
    Timing timing{
        seconds_between(start, prefilled), seconds_between(prefilled, Clock::now()), {}, {}};
    if (e.records) e.records->copy_to(nullptr);
    if (before) {
      timing.prefill_streaming = *before - *at_start;
      timing.decode_streaming = *engine_.statistics() - *before;
    }
    return timing;
  });
}

}  // namespace sluice::engine
