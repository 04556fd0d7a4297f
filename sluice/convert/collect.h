#pragma once

#include <filesystem>
#include <functional>
#include <span>

#include "sluice/convert/write.h"

namespace sluice::convert {

struct CollectOptions {
  int n_threads = 1;
  int64_t window = 512;  ///< tokens that see each other
  std::function<void(int64_t done, int64_t all)> progress;
};

/// Runs a model over tokens, window by window, and keeps the mean square of what each column of each matrix is multiplied with:
/// all experts of a layer together, weighed by how often they are chosen. The weights are mapped; activations stay float32.
/// One at a time in a process: kernels have no place for a context. Throws what load_model throws.
Importance collect_importance(const std::filesystem::path& model, std::span<const int32_t> tokens,
                              const CollectOptions& options);

}  // namespace sluice::convert
