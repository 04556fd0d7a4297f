#pragma once

#include <string_view>

namespace sluice::server {

/// Around a model's reasoning, where it has these tokens.
inline constexpr std::string_view kThinkBegin = "<think>", kThinkEnd = "</think>";
/// Before a call, and before a list of calls.
inline constexpr std::string_view kCallMarker = "<tool_call>", kCallListMarker = "[TOOL_CALLS]";

}  // namespace sluice::server
