#pragma once

#include <filesystem>
#include <vector>

#include "sluice/convert/convert.h"

namespace sluice::convert {

/// The tokenizer, the chat template and what ends a text, out of a GGUF's metadata: tokenizer.json, tokenizer_config.json and
/// generation_config.json as transformers reads them. Throws Error(unsupported) for a vocabulary that they cannot say.
std::vector<SideFile> tokenizer_files(const SourceModel& gguf);

/// Throws Error(unsupported) unless the directory's tokenizer reads texts of many kinds as the GGUF's.
void check_tokenizer(const SourceModel& gguf, const std::filesystem::path& directory);

}  // namespace sluice::convert
