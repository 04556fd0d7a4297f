#include "sluice/server/dialects/prompt.h"

#include <fmt/format.h>

#include "sluice/server/dialects/fields.h"

namespace sluice::server {

std::variant<std::string, std::vector<text::Token>> read_prompt(const Json& value,
                                                                const std::string& path) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) refuse_type(value, path, "a string or token ids");
  if (value.empty() || value.front().is_number()) return to_tokens(value, path);
  if (value.size() > 1) {
    refuse_field(path,
                 fmt::format("holds {} prompts; send one a request, they are answered together "
                             "all the same",
                             value.size()));
  }
  if (value.front().is_string()) return value.front().get<std::string>();
  return to_tokens(value.front(), indexed(path, 0));
}

}  // namespace sluice::server
