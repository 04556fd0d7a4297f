#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace sluice::text {

/// The file's top-level object, or an empty one when there is no such file.
nlohmann::json read_json_if_present(const std::filesystem::path& path);

/// A special token of tokenizer_config.json, which is "<s>" or {"content": "<s>", ...}; "" when absent.
std::string token_text(const nlohmann::json& tokenizer_config, const char* name);

}  // namespace sluice::text
