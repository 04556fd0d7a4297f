#pragma once

#include <nanobind/nanobind.h>

namespace sluice::python {

/// Models by name: plans and downloads.
void bind_models(nanobind::module_& module);

}  // namespace sluice::python
