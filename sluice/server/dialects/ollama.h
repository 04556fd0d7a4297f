#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "sluice/server/ask.h"

namespace sluice::server {

enum class OllamaShape { chat, generate };
std::unique_ptr<Writer> ollama_writer(const Ask& ask, OllamaShape shape);

/// Go's durations, "1h30m", "500ms", and plain seconds, "300", as seconds; nullopt for anything else.
std::optional<double> parse_duration(std::string_view text);

}  // namespace sluice::server
