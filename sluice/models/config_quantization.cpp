#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/models/config.h"

namespace sluice::models {
std::function<std::optional<nn::QuantizationConfig>(const std::string&)> quantization_of(
    const Source& source) {
  if (source.is_gguf()) return nullptr;
  const nlohmann::json* given = source.object("quantization");
  if (given == nullptr) given = source.object("quantization_config");
  if (given == nullptr) return nullptr;
  return [quantization = *given, where = source.where()](
             const std::string& path) -> std::optional<nn::QuantizationConfig> {
    const auto read = [&](const nlohmann::json& object) {
      const auto whole = [&](const char* key, int64_t otherwise) {
        const auto found = object.find(key);
        if (found == object.end() || found->is_null()) return otherwise;
        if (!found->is_number_integer()) {
          fail(ErrorKind::bad_model, "{}: quantization of {}: {} is not a whole number", where,
               path, key);
        }
        return found->get<int64_t>();
      };
      nn::QuantizationConfig q{whole("bits", 0), whole("group_size", 64), "affine"};
      if (const auto mode = object.find("mode"); mode != object.end() && mode->is_string()) {
        q.mode = mode->get<std::string>();
      }
      return q;
    };
    const auto own = quantization.find(path);
    if (own == quantization.end() || !own->is_object()) return std::nullopt;
    return read(*own);
  };
}

}  // namespace sluice::models
