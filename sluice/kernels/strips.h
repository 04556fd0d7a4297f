#pragma once

#include "sluice/kernels/coded_blocks.h"
#include "sluice/kernels/kernels.h"

namespace sluice::kernels {

/// Whether kernels get it in strips only.
constexpr bool needs_strips(const Matrix& w) { return is_packed(w) || is_coded(w.format); }

/// So many rows are unpacked at a time.
constexpr int64_t strip_rows(const Matrix& w) { return w.format == Format::f32 ? 16 : 32; }

/// What unpack_strip() needs for a strip of w.
int64_t strip_bytes(const Matrix& w) noexcept;

/// The rows of w, at most strip_rows() of them, as kernels read them; needs_strips(w). What does not already lie so is
/// written to scratch, strip_bytes() at a multiple of 64. A weight of a packed matrix is scale * code + (-zero * scale) in float32, which is
/// exact where scales have 16 bits; with group_of it is scale * (code - zero), as float32. Transposed floats stay what they are.
Matrix unpack_strip(const KernelTable& kernels, const Matrix& w, std::byte* scratch) noexcept;

}  // namespace sluice::kernels
