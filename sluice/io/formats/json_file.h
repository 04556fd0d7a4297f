#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "sluice/base/bytes.h"

namespace sluice::io {

/// What a JSON text may ask of us. The parsed form can take about 20 times the text's bytes.
struct JsonLimits {
  Bytes size{256'000'000};
  int depth = 64;  ///< of nested arrays and objects
};

/// Reads a JSON file whose top is an object. Of a key given twice, the last value counts; Python's Infinity is 1e308.
/// Throws Error(io) when it cannot be read; Error(bad_model) naming the file and the line and column of
/// the damage, for a file above the limits, and for a top that is no object.
nlohmann::json read_json_file(const std::filesystem::path& path, const JsonLimits& limits = {});

/// The same for a text in memory; `where` names it in errors.
nlohmann::json parse_json(std::string_view text, const std::string& where,
                          const JsonLimits& limits = {});

/// "line 3, column 14" of the byte at `offset`, both counted from 1.
std::string text_position(std::string_view text, size_t offset);

}  // namespace sluice::io
