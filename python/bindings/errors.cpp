#include "python/bindings/errors.h"

#include <array>

#include "sluice/base/error.h"

namespace sluice::python {
namespace {

namespace nb = nanobind;

constexpr std::array kNames{"BadRequest", "BadModel", "Unsupported",
                            "OverBudget", "IoError",  "InternalError"};  // in ErrorKind's order
static_assert(static_cast<size_t>(ErrorKind::internal) + 1 == kNames.size());

void translate(const std::exception_ptr& pointer, void* /*payload*/) {
  try {
    std::rethrow_exception(pointer);
  } catch (const Error& error) {
    const nb::object classes = nb::module_::import_("sluice.errors");
    const nb::object type = classes.attr(kNames.at(static_cast<size_t>(error.kind())));
    PyErr_SetString(type.ptr(), error.what());
  }
}

}  // namespace

void bind_errors(nb::module_& /*module*/) { nb::register_exception_translator(translate); }

}  // namespace sluice::python
