#include "sluice/text/model_json.h"

#include "sluice/io/formats/json_file.h"

namespace sluice::text {

nlohmann::json read_json_if_present(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return nlohmann::json::object();
  return io::read_json_file(path);
}

std::string token_text(const nlohmann::json& tokenizer_config, const char* name) {
  auto found = tokenizer_config.find(name);
  if (found != tokenizer_config.end() && found->is_object()) {
    const auto& token = *found;
    const auto content = token.find("content");
    return content != token.end() && content->is_string() ? content->get<std::string>() : "";
  }
  return found != tokenizer_config.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace sluice::text
