#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sluice/engine/engine.h"
#include "sluice/engine/generation.h"
#include "sluice/engine/request.h"

namespace sluice::engine {

/// One token timeline: what was computed of it is kept for what comes next, and for nobody else unless it is shared.
class Session {
 public:
  explicit Session(Engine& engine);
  /// What is computed is shared by all with this salt, kept when this ends, and on disk where the engine has a cache
  /// there.
  Session(Engine& engine, std::string salt);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Calls on_event for each token, on the caller's thread, while the next ones are computed. Throws
  /// Error(bad_request) for an empty prompt, one longer than the context, ids outside the vocabulary, or when another
  /// answer of this session is on its way, and what on_event threw, which ends the answer.
  Result generate(const Request& request, const std::function<void(const Event&)>& on_event);

  /// Begins an answer that a listener hears of, and returns at once; tokens() knows nothing of it. The session outlives
  /// it. Throws as begin_generation().
  std::unique_ptr<Generation> begin(Request request, std::shared_ptr<Listener> listener);

  /// Tokens whose keys and values were held at the end of the last answer.
  const std::vector<text::Token>& tokens() const { return tokens_; }
  /// Forgets what was computed.
  void reset();

 private:
  void forget();

  Engine& engine_;
  std::string salt_;
  bool shared_ = false;
  std::vector<text::Token> tokens_;
  std::atomic<bool> busy_ = false;
};

}  // namespace sluice::engine
