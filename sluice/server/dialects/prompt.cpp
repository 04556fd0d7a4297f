#include "sluice/server/dialects/prompt.h"

#include <utility>

#include "sluice/server/dialects/fields.h"

namespace sluice::server {

namespace {

TextPrompt::Given read_one(const Json& value, const std::string& path) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) refuse_type(value, path, "a string or token ids");
  return to_tokens(value, path);
}

}  // namespace

std::vector<TextPrompt::Given> read_prompts(const Json& value, const std::string& path,
                                            size_t most) {
  if (!value.is_array() || value.empty() || value.front().is_number())
    return {read_one(value, path)};
  to_array(value, path, most);
  std::vector<TextPrompt::Given> prompts;
  for (size_t i = 0; i < value.size(); ++i) prompts.push_back(read_one(value[i], indexed(path, i)));
  return prompts;
}

TextPrompt::Given read_prompt(const Json& value, const std::string& path) {
  auto prompts = read_prompts(value, path, 1);
  return std::move(prompts.front());
}

}  // namespace sluice::server
