#include "sluice/models/registry.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "sluice/base/error.h"

namespace sluice::models {

extern const Family gemma, gemma2, gemma3, gpt_oss, llama, mistral, mixtral, olmo2, olmoe, phi3,
    qwen2, qwen2_moe, qwen3, qwen3_moe, smollm3;

namespace {

struct Entry {
  std::string_view architecture;
  const Family* family;
};

/// Names as config.json and as GGUF spell them.
constexpr Entry kRegistry[] = {
    {"gemma", &gemma},        {"gemma2", &gemma2},       {"gemma3", &gemma3},
    {"gemma3_text", &gemma3}, {"gpt-oss", &gpt_oss},     {"gpt_oss", &gpt_oss},
    {"llama", &llama},        {"mistral", &mistral},     {"mixtral", &mixtral},
    {"olmo2", &olmo2},        {"olmoe", &olmoe},         {"phi3", &phi3},
    {"qwen2", &qwen2},        {"qwen2_moe", &qwen2_moe}, {"qwen2moe", &qwen2_moe},
    {"qwen3", &qwen3},        {"qwen3_moe", &qwen3_moe}, {"qwen3moe", &qwen3_moe},
    {"smollm3", &smollm3},
};

}  // namespace

std::vector<std::string> architectures() {
  std::vector<std::string> names;
  for (const Entry& entry : kRegistry) names.emplace_back(entry.architecture);
  return names;
}

const Family& find_family(std::string_view architecture) {
  for (const Entry& entry : kRegistry) {
    if (entry.architecture == architecture) return *entry.family;
  }
  fail(ErrorKind::unsupported, "architecture '{}' is not supported; supported are {}", architecture,
       fmt::join(architectures(), ", "));
}

}  // namespace sluice::models
