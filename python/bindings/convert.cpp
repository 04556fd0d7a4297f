#include "sluice/convert/convert.h"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>

#include "python/bindings/convert.h"
#include "sluice/base/error.h"
#include "sluice/base/thread_pool.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::python {
namespace {

namespace nb = nanobind;
using convert::ConvertOptions;
using convert::Quantization;

std::optional<kernels::Format> dtype_of(const std::string& name) {
  if (name.empty()) return std::nullopt;
  if (name == "f32") return kernels::Format::f32;
  if (name == "f16") return kernels::Format::f16;
  if (name == "bf16") return kernels::Format::bf16;
  fail(ErrorKind::bad_request, "dtype is '{}', it must be one of f32, f16, bf16", name);
}

/// (path, shape, (bits, group_size, mode)) -> (bits, group_size, mode), or None for floats.
convert::Predicate predicate_of(const nb::object& decide) {
  if (decide.is_none()) return {};
  return [&decide](const std::string& path, std::span<const int64_t> shape,
                   const Quantization& usual) -> std::optional<Quantization> {
    const nb::gil_scoped_acquire gil;
    const std::vector<int64_t> sizes(shape.begin(), shape.end());
    const nb::object said =
        decide(path, sizes, std::make_tuple(usual.bits, usual.group_size, usual.mode));
    if (said.is_none()) return std::nullopt;
    const auto [bits, group_size, mode] = nb::cast<std::tuple<int, int, std::string>>(said);
    return Quantization{bits, group_size, mode};
  };
}

/// (out, bytes, bytes of a run before, what was left out, notes). progress: (done, all) bytes, or None; what it throws, as
/// Ctrl-C does, ends it.
std::tuple<std::filesystem::path, uint64_t, uint64_t, std::string, std::vector<std::string>> run(
    const std::string& model, const std::filesystem::path& out, ConvertOptions options,
    const nb::object& predicate, const nb::object& progress) {
  options.predicate = predicate_of(predicate);
  if (options.n_threads == 0) options.n_threads = available_processors();
  options.progress = [&](const convert::Progress& state) {
    const nb::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (!progress.is_none()) progress(state.done.count, state.all.count);
  };
  const nb::gil_scoped_release no_gil;
  const auto done = convert::convert(engine::ModelStore().resolve(model), out, options);
  return {done.out, done.bytes.count, done.resumed.count, done.left_out, done.notes};
}

}  // namespace

void bind_convert(nb::module_& module) {
  nb::class_<ConvertOptions>(module, "ConvertOptions")
      .def(nb::init<>())
      .def_rw("dequantize", &ConvertOptions::dequantize)
      .def_rw("bits", &ConvertOptions::bits)
      .def_rw("group_size", &ConvertOptions::group_size)
      .def_rw("mode", &ConvertOptions::mode)
      .def_rw("recipe", &ConvertOptions::recipe)
      .def_rw("keep", &ConvertOptions::keep)
      .def_rw("type", &ConvertOptions::type)
      .def_rw("imatrix", &ConvertOptions::imatrix)
      .def_rw("tokenizer", &ConvertOptions::tokenizer)
      .def_rw("n_threads", &ConvertOptions::n_threads)
      .def("set_to",
           [](ConvertOptions& o, const std::string& to) {
             if (to != "mlx" && to != "gguf")
               fail(ErrorKind::bad_request, "to is '{}', it must be one of mlx, gguf", to);
             o.to = to == "gguf" ? convert::Target::gguf : convert::Target::mlx;
           })
      .def("set_dtype",
           [](ConvertOptions& o, const std::string& name) { o.dtype = dtype_of(name); })
      .def("set_ram",
           [](ConvertOptions& o, const std::string& size) { o.ram = parse_bytes(size); });
  module.def("convert", &run, nb::arg("model"), nb::arg("out"), nb::arg("options"),
             nb::arg("predicate").none(), nb::arg("progress").none());
}

}  // namespace sluice::python
