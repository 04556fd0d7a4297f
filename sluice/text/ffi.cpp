#include "sluice/text/ffi.h"

#include <array>
#include <utility>

namespace sluice::text {

Error translate(const rust::Error& failure, const std::string& where) {
  // "kind: message", as rust/text/src/failure.rs writes it.
  static constexpr std::array<std::pair<std::string_view, ErrorKind>, 3> kKinds = {{
      {"bad_request: ", ErrorKind::bad_request},
      {"bad_model: ", ErrorKind::bad_model},
      {"unsupported: ", ErrorKind::unsupported},
  }};
  std::string_view what = failure.what();
  const auto message = [&] {
    return where.empty() ? std::string(what) : fmt::format("{}: {}", where, what);
  };
  for (const auto& [name, kind] : kKinds) {
    if (!what.starts_with(name)) continue;
    what.remove_prefix(name.size());
    return Error(kind, message());
  }
  return Error(ErrorKind::internal, message());
}

}  // namespace sluice::text
