#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sluice/convert/convert.h"

namespace sluice::convert {

/// How one matrix is quantized.
struct Quantization {
  int bits = 0, group_size = 0;
  std::string mode;
  bool operator==(const Quantization&) const = default;
};

/// What the options say of most matrices; nullopt: they stay floats. Throws Error(bad_request).
std::optional<Quantization> usual_quantization(const ConvertOptions& options);

/// What they say of the matrix at `path`, of [.., cols]; nullopt: it stays floats. As mlx-lm's recipes do
/// (mlx_lm/convert.py, 0.32.2): more bits for values and down projections of the first and last eighth of the layers and of each
/// third between them, and for the head.
std::optional<Quantization> quantization_of(const ConvertOptions& options, const std::string& path,
                                            int64_t cols, int64_t n_layers);

/// Whether one of --keep's shell patterns is the path or an end of it after a dot.
bool is_kept(const ConvertOptions& options, const std::string& path);

/// The layer in "model.layers.3.mlp"; 0 where there is none.
int64_t layer_in(const std::string& path);

}  // namespace sluice::convert
