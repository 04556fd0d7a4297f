#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/engine/engine.h"

namespace sluice::python {

/// A model's tokenizer and chat template; keeps the model.
struct Tokenizer {
  std::shared_ptr<engine::Engine> engine;

  /// Throws Error(bad_model) when the model has none.
  explicit Tokenizer(std::shared_ptr<engine::Engine> of) : engine(std::move(of)) {
    if (!engine) fail(ErrorKind::bad_request, "this engine was closed");
    (void)engine->tokenizer();
  }
  const text::Tokenizer& operator*() const { return engine->tokenizer(); }
  const text::Tokenizer* operator->() const { return &engine->tokenizer(); }
};

void bind_tokenizer(nanobind::module_& module);

}  // namespace sluice::python
