#include "sluice/models/pooling.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "sluice/io/formats/json_file.h"
#include "sluice/io/mapped_file.h"

namespace sluice::models {
namespace {

constexpr io::JsonLimits kSmall{.size = {1'000'000}};

/// As sentence-transformers calls them; those without a Pooling are not computed here.
constexpr auto kModes = std::to_array<std::pair<std::string_view, std::optional<Pooling>>>({
    {"mean", Pooling::mean},
    {"cls", std::nullopt},
    {"lasttoken", Pooling::last},
    {"max", std::nullopt},
    {"mean_sqrt_len", std::nullopt},
    {"weightedmean", std::nullopt},
});

std::string flag_of(std::string_view mode) {
  const bool plural =
      mode == "mean" || mode == "max" || mode == "mean_sqrt_len" || mode == "weightedmean";
  return "pooling_mode_" + std::string(mode) + (plural ? "_tokens" : mode == "cls" ? "_token" : "");
}

/// Version 5.5 and later name the mode; before, each had a flag, and more than one could be set.
std::optional<Pooling> mode_of(const nlohmann::json& config) {
  const auto named = config.find("pooling_mode");
  std::optional<Pooling> pooling;
  int n = 0;
  for (const auto& [mode, is] : kModes) {
    const auto flag = config.find(flag_of(mode));
    const bool is_set = flag != config.end() && flag->is_boolean() && flag->get<bool>();
    if (named != config.end() ? *named != mode : !is_set) continue;
    pooling = is;
    ++n;
  }
  return n == 1 ? pooling : std::nullopt;
}

/// Whether all that follows the pooling is a norm, which every vector gets here. The file's top is an array.
bool only_pools(const std::filesystem::path& file) {
  const auto mapped = io::MappedFile::open(file);
  const std::string text(reinterpret_cast<const char*>(mapped->bytes().data()),
                         std::min<size_t>(mapped->bytes().size(), kSmall.size.count));
  const auto parsed = io::parse_json("{\"modules\":" + text + "}", "modules.json", kSmall);
  for (const auto& module : parsed.at("modules")) {
    const auto type = module.is_object() ? module.find("type") : module.end();
    if (!module.is_object() || type == module.end() || !type->is_string()) return false;
    const std::string& name = type->get_ref<const std::string&>();
    const std::string kind = name.substr(name.rfind('.') + 1);
    if (kind != "Transformer" && kind != "Pooling" && kind != "Normalize") return false;
  }
  return true;
}

}  // namespace

std::optional<Pooling> pooling_of_directory(const std::filesystem::path& directory) {
  const auto modules = directory / "modules.json";
  const bool has_modules = std::filesystem::exists(modules);
  if (has_modules && !only_pools(modules)) return std::nullopt;
  for (const char* name :
       {"1_Pooling/config.json", "1_Pooling.json"}) {  // `sluice pull` has no folders
    const auto config = directory / name;
    if (std::filesystem::exists(config)) return mode_of(io::read_json_file(config, kSmall));
  }
  return has_modules ? std::nullopt : std::optional(Pooling::mean);
}

std::optional<Pooling> pooling_of_gguf(const io::Gguf& gguf) {
  const auto architecture = gguf.metadata.string("general.architecture");
  if (!architecture) return Pooling::mean;
  switch (gguf.metadata.integer(std::string(*architecture) + ".pooling_type").value_or(0)) {
    case 0:  // it says that it gives no vector, as a model for chats does
    case 1:
      return Pooling::mean;
    case 3:
      return Pooling::last;
    default:
      return std::nullopt;
  }
}

}  // namespace sluice::models
