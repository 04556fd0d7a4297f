#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "sluice/engine/engine.h"
#include "sluice/engine/request.h"

namespace sluice::engine {

/// One token timeline with its keys and values. Use from one thread at a time.
class Session {
 public:
  explicit Session(Engine& engine);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Calls on_event (on the engine's thread) for each token; it may call the engine, but not this session. Throws
  /// Error(bad_request) for an empty prompt, one longer than the context, or ids outside the vocabulary; after any
  /// other error the session starts anew.
  Result generate(const Request& request, const std::function<void(const Event&)>& on_event);

  /// Tokens whose keys and values are held.
  const std::vector<text::Token>& tokens() const;
  void reset();

 private:
  struct State;
  class Generation;
  int64_t reuse(const std::vector<text::Token>& wanted);
  Engine& engine_;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::engine
