#include "sluice/io/formats/json_excess.h"

#include <vector>

namespace sluice::io {

std::optional<JsonExcess> find_excess(std::string_view text, const JsonBounds& limits) {
  std::vector<size_t> n_keys;  // of each open object or array
  size_t n_values = 1;         // begun: one in an empty array counts as well
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (n_keys.size() == limits.depth) return JsonExcess{JsonExcess::What::depth, i};
      n_keys.push_back(0);
    } else if ((c == ']' || c == '}') && !n_keys.empty()) {
      n_keys.pop_back();
    } else if (c == ':' && !n_keys.empty() && ++n_keys.back() > limits.keys) {
      return JsonExcess{JsonExcess::What::keys, i};
    }
    const bool begins = !in_string && (c == ',' || c == '[' || c == '{');
    if (begins && ++n_values > limits.values) return JsonExcess{JsonExcess::What::values, i};
  }
  return std::nullopt;
}

}  // namespace sluice::io
