#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <variant>

#include "python/bindings/logits.h"
#include "sluice/engine/generation.h"

namespace sluice::python {

/// How much of a prompt has its keys and values, tokens.
struct Progress {
  int64_t done = 0, total = 0;
};

/// A token and, where they were asked for, the logits that it was chosen from.
struct Chosen {
  engine::Event event;
  Floats logits;
};

using Message = std::variant<Progress, Chosen>;

/// What a generation tells, until Python takes it. Nothing here needs the GIL, so that the engine's thread never waits for
/// an interpreter.
class Mailbox : public engine::Listener {
 public:
  ~Mailbox() override = default;

  // The engine's thread.
  void on_admitted(int64_t prompt_tokens, int64_t cached_tokens) override;
  void on_prompt(int64_t tokens) override;
  void on_token(engine::Event event) override;
  void on_end(engine::Result result) override;
  void on_error(std::exception_ptr error) override;
  /// The stream's: of the token that is being chosen. on_token() gives them with it.
  void put_logits(Floats logits);

  // The reader's.
  /// Waits so long for the next message; nothing when none came, or there are no more.
  std::optional<Message> next(std::chrono::milliseconds most);
  bool has_ended() const;
  /// After the end. Rethrows what ended it.
  const engine::Result& result() const;
  /// Those of the token that ended it, which is not told; null where none were kept. Once.
  Floats take_end_logits();
  /// Writes a byte to this file descriptor, which does not block, for everything that comes from now on, and at once
  /// if something has. -1: no more.
  void notify(int descriptor);

 private:
  void told();

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Message> messages_;
  std::deque<Floats> logits_;
  std::optional<engine::Result> result_;
  std::exception_ptr error_;
  int64_t prompt_tokens_ = 0;
  int descriptor_ = -1;
};

}  // namespace sluice::python
