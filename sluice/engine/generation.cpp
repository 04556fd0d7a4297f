#include "sluice/engine/generation.h"

#include <atomic>
#include <thread>

#include "sluice/base/threads.h"
#include "sluice/engine/engine_impl.h"
#include "sluice/engine/session.h"

namespace sluice::engine {
namespace {

/// A session on a thread of its own, which waits for its turn at the engine.
class Alone : public Generation {
 public:
  Alone(Engine& engine, Request request, std::shared_ptr<Listener> listener)
      : request_(std::move(request)), listener_(std::move(listener)) {
    request_.cancel = &cancelled_;
    thread_ = start_thread("makes an answer", [this, &engine] { answer(engine); });
  }
  ~Alone() override {
    cancelled_ = true;
    thread_.join();
  }
  void cancel() override { cancelled_ = true; }
  void set_paused(bool /*paused*/) override {}

 private:
  void answer(Engine& engine) {
    try {
      Session session(engine);
      listener_->on_admitted(std::ssize(request_.tokens), 0);
      listener_->on_end(
          session.generate(request_, [this](const Event& event) { listener_->on_token(event); }));
    } catch (...) {
      listener_->on_error(std::current_exception());
    }
  }

  Request request_;
  std::shared_ptr<Listener> listener_;
  std::atomic<bool> cancelled_ = false;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Generation> begin_generation(Engine& engine, Request request,
                                             std::shared_ptr<Listener> listener) {
  engine.impl().check_tokens(request.tokens);
  return std::make_unique<Alone>(engine, std::move(request), std::move(listener));
}

}  // namespace sluice::engine
