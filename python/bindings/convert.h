#pragma once

#include <nanobind/nanobind.h>

namespace sluice::python {

/// Conversion.
void bind_convert(nanobind::module_& module);

}  // namespace sluice::python
