#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <memory>
#include <span>

namespace sluice::python {

using Array1 = nanobind::ndarray<nanobind::numpy, float, nanobind::ndim<1>, nanobind::c_contig>;
using Array2 = nanobind::ndarray<nanobind::numpy, float, nanobind::ndim<2>, nanobind::c_contig>;
using Floats = std::unique_ptr<float[]>;

/// An array of one row that owns `values`: numpy reads and writes them where they are. Needs the GIL.
inline Array1 as_numpy(Floats values, size_t n) {
  const nanobind::capsule owner(values.get(),
                                [](void* p) noexcept { delete[] static_cast<float*>(p); });
  return Array1(values.release(), {n}, owner);
}

inline Array2 as_numpy(Floats values, size_t rows, size_t columns) {
  const nanobind::capsule owner(values.get(),
                                [](void* p) noexcept { delete[] static_cast<float*>(p); });
  return Array2(values.release(), {rows, columns}, owner);
}

inline Floats copy_of(std::span<const float> values) {
  auto copy = std::make_unique_for_overwrite<float[]>(values.size());
  std::copy(values.begin(), values.end(), copy.get());
  return copy;
}

}  // namespace sluice::python
