#include "sluice/models/registry.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "sluice/base/error.h"

namespace sluice::models {

// The families' files, as CMakeLists.txt lists them.
#define SLUICE_FAMILY(name) extern const Family name;
#include "sluice/models/families.inc"
#undef SLUICE_FAMILY

namespace {

#define SLUICE_FAMILY(name) &name,
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

}  // namespace

const Family& family_of(const Source& source) {
  const Family* const family = find(source.architecture());
  const Family* const of_text = family != nullptr ? family : find(source.text_architecture());
  return of_text != nullptr ? *of_text : find_family(source.architecture());
}

const Family& find_family(std::string_view architecture) {
  if (const Family* const family = find(architecture)) return *family;
  fail(ErrorKind::unsupported, "architecture '{}' is not supported; supported are {}", architecture,
       fmt::join(architectures(), ", "));
}

}  // namespace sluice::models
