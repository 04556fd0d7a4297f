#pragma once

#include <exception>
#include <memory>

#include "sluice/engine/request.h"

namespace sluice::engine {

class Engine;

/// Hears of a generation, on the engine's thread, where everybody waits for it: it hands on what it is told and
/// returns. Exactly one of on_end() and on_error() comes, last.
class Listener {
 public:
  virtual ~Listener() = default;
  /// Before the prompt is computed: of prompt_tokens, cached_tokens are held already.
  virtual void on_admitted(int64_t /*prompt_tokens*/, int64_t /*cached_tokens*/) {}
  /// So many tokens of the prompt have their keys and values.
  virtual void on_prompt(int64_t /*tokens*/) {}
  virtual void on_token(Event event) = 0;
  virtual void on_end(Result result) = 0;
  virtual void on_error(std::exception_ptr error) = 0;
};

/// An answer on its way. Its methods may be called from any thread.
class Generation {
 public:
  /// Cancels it: nothing is heard of it afterwards but on_end().
  virtual ~Generation() = default;
  /// Ends it within a step; on_end() tells FinishReason::cancelled.
  virtual void cancel() = 0;
  /// While paused no token is computed for it, and its keys and values stay: for a client that reads too slowly.
  virtual void set_paused(bool paused) = 0;
};

/// Begins an answer and returns at once. Throws Error(bad_request) for an empty prompt, one longer than the
/// context, ids outside the vocabulary, or sampling options out of range. The engine outlives it.
std::unique_ptr<Generation> begin_generation(Engine& engine, Request request,
                                             std::shared_ptr<Listener> listener);

}  // namespace sluice::engine
