#include "sluice/convert/gguf_kinds.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"

namespace sluice::convert {
namespace {

constexpr std::array<GgufKind, 24> kKinds = {{
    {"llama", "llama", true},
    {"mistral", "llama", true},
    {"mixtral", "llama", true},
    {"qwen2", "qwen2"},
    {"qwen3", "qwen3"},
    {"gemma", "gemma", false, true},
    {"gemma2", "gemma2", false, true},
    {"gemma3_text", "gemma3", false, true},
    {"phi3", "phi3"},
    {"olmo2", "olmo2"},
    {"smollm3", "smollm3", true},
    {"seed_oss", "seed_oss"},
    {"granite", "granite", true},
    {"qwen2_moe", "qwen2moe"},
    {"qwen3_moe", "qwen3moe"},
    {"olmoe", "olmoe"},
    {"gemma3", "gemma3", false, true},
    {"hunyuan_v1_dense", "hunyuan-dense"},
    {"ernie4_5", "ernie4_5"},
    {"glm4", "glm4"},
    {"glm4_moe", "glm4moe"},
    {"dots1", "dots1"},
    {"minimax", "minimax-m2"},
    {"deepseek", "deepseek", true},
}};

}  // namespace

const GgufKind& gguf_kind_of(const SourceModel& model) {
  const std::string& name = model.source->architecture();
  const auto of = model.gguf ? &GgufKind::architecture : &GgufKind::model_type;
  const auto found = std::ranges::find(kKinds, std::string_view(name), of);
  if (found != kKinds.end()) return *found;
  std::string known;
  for (const GgufKind& kind : kKinds) {
    const std::string_view one = kind.*of;
    if (known.find(one) == std::string::npos)
      known += fmt::format("{}{}", known.empty() ? "" : ", ", one);
  }
  fail(ErrorKind::unsupported,
       "{}: '{}' is not converted between GGUF and directories; those that are: {}",
       model.path.string(), printable(name), known);
}

}  // namespace sluice::convert
