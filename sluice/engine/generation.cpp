#include "sluice/engine/generation.h"

#include <utility>

#include "sluice/base/error.h"
#include "sluice/engine/engine_impl.h"
#include "sluice/engine/sequence.h"

namespace sluice::engine {
namespace {

class Scheduled : public Generation {
 public:
  Scheduled(Engine::Impl& engine, std::shared_ptr<Sequence> sequence)
      : engine_(engine), sequence_(std::move(sequence)) {
    engine_.scheduler->submit(sequence_);
    engine_.worker.wake();
  }
  ~Scheduled() override { Scheduled::cancel(); }

  void cancel() override {
    sequence_->cancel();
    engine_.worker.wake();
  }
  void set_paused(bool paused) override {
    sequence_->set_paused(paused);
    engine_.worker.wake();
  }

 private:
  Engine::Impl& engine_;
  std::shared_ptr<Sequence> sequence_;
};

}  // namespace

std::unique_ptr<Generation> begin_generation(Engine& engine, Request request,
                                             std::shared_ptr<Listener> listener) {
  Engine::Impl& impl = engine.impl();
  if (request.tokens.empty()) fail(ErrorKind::bad_request, "the prompt is empty");
  impl.check_tokens(request.tokens);
  impl.check_ids(request.prediction, "prediction");
  for (const auto& [token, bias] : request.sampling.logit_bias)
    impl.check_ids({&token, 1}, "logit_bias");
  auto sequence = std::make_shared<Sequence>(
      std::move(request), std::move(listener), engine.tokenizer(),
      Sequence::Limits{impl.context, engine.config().vocab_size, impl.options.snap_kv});
  return std::make_unique<Scheduled>(impl, std::move(sequence));
}

}  // namespace sluice::engine
