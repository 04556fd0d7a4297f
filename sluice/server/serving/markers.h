#pragma once

#include <string_view>

namespace sluice::server {

/// Around a model's reasoning, where it has the token that begins it.
struct ThinkMarks {
  std::string_view begin, end, token;
};
inline constexpr ThinkMarks kThinkMarks[] = {
    {"<think>", "</think>", "<think>"},
    {"<|channel>thought", "<channel|>", "<|channel>"},           // Gemma 4
    {"[THINK]", "[/THINK]", "[THINK]"},                          // Mistral
    {"<longcat_think>", "</longcat_think>", "<longcat_think>"},  // LongCat
    {"<seed:think>", "</seed:think>", "<seed:think>"},           // Seed-OSS
};

/// Before a call, and before a list of calls.
inline constexpr std::string_view kCallMarker = "<tool_call>", kCallListMarker = "[TOOL_CALLS]";

}  // namespace sluice::server
