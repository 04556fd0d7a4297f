#include "sluice/models/registry.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"

namespace sluice::models {

// The families' files, as CMakeLists.txt lists them.
#define SLUICE_FAMILY(name)   \
  namespace families::name {  \
  extern const Family family; \
  }
#include "sluice/models/families.inc"
#undef SLUICE_FAMILY

namespace {

#define SLUICE_FAMILY(name) &families::name::family,
constexpr const Family* kFamilies[] = {
#include "sluice/models/families.inc"
};
#undef SLUICE_FAMILY

}  // namespace

std::vector<std::string> architectures() {
  std::vector<std::string> names;
  for (const Family* const family : kFamilies)
    names.insert(names.end(), family->names.begin(), family->names.end());
  std::ranges::sort(names);
  return names;
}

namespace {

/// Null when no family has that name.
const Family* find(std::string_view architecture) {
  for (const Family* const family : kFamilies) {
    if (std::ranges::find(family->names, architecture) != family->names.end()) return family;
  }
  return nullptr;
}

/// How many letters must be put in, left out or changed (Levenshtein 1966) to make one of the other.
size_t edits(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({changed, row[j] + 1, row[j + 1] + 1}));
    }
  }
  return row.back();
}

std::vector<std::string> most_alike(std::string_view architecture) {
  constexpr size_t kLongest = 64, kShown = 3;
  std::vector<std::string> names = architectures();
  const std::string_view begin = architecture.substr(0, kLongest);
  std::ranges::stable_sort(names, {}, [&](const std::string& name) { return edits(begin, name); });
  names.resize(std::min(names.size(), kShown));
  return names;
}

}  // namespace

const Family& family_of(const Source& source) {
  const Family* const family = find(source.architecture());
  const Family* const of_text = family != nullptr ? family : find(source.text_architecture());
  const Family& found = of_text != nullptr ? *of_text : find_family(source.architecture());
  if (!source.is_gguf())
    for (const KeyName& key : found.config_keys) source.also(key.ours, key.theirs);
  return found;
}

const Family& find_family(std::string_view architecture) {
  if (const Family* const family = find(architecture)) return *family;
  fail(ErrorKind::unsupported,
       "architecture '{}' is not supported; most like it are {}; all are in docs/models.md",
       printable(architecture), fmt::join(most_alike(architecture), ", "));
}

}  // namespace sluice::models
