#pragma once

#include <string_view>

namespace sluice::server {

/// Around a model's reasoning, where it has these tokens.
inline constexpr std::string_view kThinkBegin = "<think>", kThinkEnd = "</think>";

}  // namespace sluice::server
