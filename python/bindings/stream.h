#pragma once

#include <nanobind/nanobind.h>

#include <memory>

#include "python/bindings/chooser.h"
#include "python/bindings/mailbox.h"
#include "sluice/engine/engine.h"
#include "sluice/engine/generation.h"
#include "sluice/engine/session.h"

namespace sluice::python {

/// An answer on its way, as Python reads it. Keeps what it is computed with.
class Stream {
 public:
  /// session: may be null. Needs the GIL. Throws as begin_generation().
  Stream(std::shared_ptr<engine::Engine> engine, std::shared_ptr<engine::Session> session,
         engine::Request request, Hooks hooks);

  /// The next Progress or Chosen; None at the end. Computes without the GIL. A signal's exception (Ctrl-C) cancels.
  /// Rethrows what ended the answer.
  nanobind::object next();
  /// The same, but None also where nothing has come.
  nanobind::object poll();
  void cancel() { generation_->cancel(); }
  void notify(int descriptor) { mailbox_->notify(descriptor); }
  bool has_ended() const { return mailbox_->has_ended(); }
  const engine::Result& result() const;
  /// float32 [vocab_size], or None. Once, after the end.
  nanobind::object end_logits();

 private:
  std::shared_ptr<engine::Engine> engine_;
  std::shared_ptr<engine::Session> session_;
  std::shared_ptr<Mailbox> mailbox_;
  std::unique_ptr<engine::Generation> generation_;  // first to go
};

void bind_stream(nanobind::module_& module);

}  // namespace sluice::python
