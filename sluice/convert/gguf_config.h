#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "sluice/convert/plan.h"
#include "sluice/convert/source_model.h"

namespace sluice::convert {

// Between a GGUF and a directory, by what the loader knows of both. Error(unsupported) for families that were not tried.

/// mlx-lm's name of a GGUF's tensor.
std::string mlx_name(const SourceModel& gguf, const SourceTensor& tensor);
/// What ggml's converter did to it is undone.
Change mlx_change(const SourceModel& gguf, const SourceTensor& tensor);
/// config.json of a GGUF's metadata.
nlohmann::json config_of_gguf(const SourceModel& gguf);

}  // namespace sluice::convert
