#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sluice/server/ask.h"

namespace sluice::server {

/// What of llama-server's /completion and /infill concerns the telling.
struct LlamaTelling {
  /// Unset: all. A path like "timings/prompt_n" gives the answer that very key.
  std::optional<std::vector<std::string>> response_fields = std::nullopt;
  int64_t n_indent = 0;      ///< the text ends before a line that is indented less
  bool with_tokens = false;  ///< tokens' ids
};
std::unique_ptr<Writer> llama_writer(const Ask& ask, LlamaTelling telling);

/// The text up to the first line, after its first, that has fewer than n_indent spaces before its words.
std::string cut_at_indent(const std::string& text, int64_t n_indent);

}  // namespace sluice::server
