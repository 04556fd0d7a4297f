#pragma once

#include <nanobind/nanobind.h>

namespace sluice::python {

/// Has Error become the exception of sluice.errors that stands for its kind. MLX's and the standard library's stay what
/// nanobind makes of them: RuntimeError, MemoryError, ValueError.
void bind_errors(nanobind::module_& module);

}  // namespace sluice::python
