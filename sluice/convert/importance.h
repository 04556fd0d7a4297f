#pragma once

#include <filesystem>
#include <string>

#include "sluice/convert/write.h"

namespace sluice::convert {

/// Reads what write_importance() wrote: safetensors of one float32 vector a matrix, by our paths. Appends a digest of it to
/// `settings`. Throws Error(bad_model), Error(io).
Importance read_importance(const std::filesystem::path& path, std::string& settings);
/// Throws Error(io).
void write_importance(const std::filesystem::path& path, const Importance& importance);

}  // namespace sluice::convert
