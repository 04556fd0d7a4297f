#pragma once

#include <nanobind/nanobind.h>

namespace sluice::python {

/// EngineOptions, Engine and Session.
void bind_engine(nanobind::module_& module);

}  // namespace sluice::python
