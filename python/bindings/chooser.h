#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <vector>

#include "python/bindings/mailbox.h"
#include "sluice/engine/request.h"

namespace sluice::python {

/// What Python has to say about each token, in this order; each may be None.
struct Hooks {
  /// (tokens: int32 [n], logits: float32 [vocab_size], writable) -> float32 [vocab_size], or None: as they were left.
  nanobind::object processor;
  /// float32 [vocab_size] -> the token.
  nanobind::object sampler;
  bool keeps_logits = false;  ///< each token comes with what it was chosen from
};

/// The hooks as the engine asks for them. What a sampler chose is all that it leaves of the logits. What a hook throws
/// ends the answer, and its reader gets it.
class Chooser : public engine::Constraint {
 public:
  /// eos: tokens after which nothing more is asked; none where the answer goes on after them. Needs the GIL.
  Chooser(Hooks hooks, std::shared_ptr<Mailbox> mailbox, std::vector<text::Token> prompt,
          std::vector<text::Token> eos);
  ~Chooser() override;

  void mask(std::span<float> logits) override;
  bool accept(text::Token token) override;

 private:
  void process(std::span<float> logits);
  void choose(std::span<float> logits);

  Hooks hooks_;
  std::shared_ptr<Mailbox> mailbox_;
  std::vector<text::Token> timeline_, eos_;
};

}  // namespace sluice::python
