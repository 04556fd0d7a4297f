#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "sluice/convert/convert.h"

namespace sluice::convert {

/// What the options say of most matrices; nullopt: they stay floats. Throws Error(bad_request).
std::optional<Quantization> usual_quantization(const ConvertOptions& options);

/// What they say of the matrix at `path`, of `shape`, outermost first; nullopt: it stays floats. As mlx-lm's recipes do
/// (mlx_lm/convert.py, 0.32.2): more bits for values and down projections of the first and last eighth of the layers and of each
/// third between them, and for the head. A predicate decides last.
std::optional<Quantization> quantization_of(const ConvertOptions& options, const std::string& path,
                                            std::span<const int64_t> shape, int64_t n_layers);

/// Whether a shell pattern of --keep is the path or an end of it after a dot.
bool matches(const std::string& pattern, const std::string& path);
bool is_kept(const ConvertOptions& options, const std::string& path);

/// The layer in "model.layers.3.mlp"; 0 where there is none.
int64_t layer_in(const std::string& path);

}  // namespace sluice::convert
