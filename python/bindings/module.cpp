#include <nanobind/nanobind.h>

#include "python/bindings/convert.h"
#include "python/bindings/engine.h"
#include "python/bindings/errors.h"
#include "python/bindings/models.h"
#include "python/bindings/stream.h"
#include "python/bindings/tokenizer.h"

NB_MODULE(_native, module) {
  using namespace sluice::python;
  module.doc() = "Sluice's engine; sluice/__init__.py is what people use of it.";
  bind_errors(module);
  bind_tokenizer(module);
  bind_stream(module);
  bind_engine(module);
  bind_models(module);
  bind_convert(module);
}
