#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "rust/cxx.h"  // before what it generates
#include "sluice/base/error.h"
#include "sluice_text.h"

namespace sluice::text {

/// What a failure of the Rust side is here; `where` names the file. The one translator of that boundary.
Error translate(const rust::Error& failure, const std::string& where);

/// Calls into the Rust side and translates what it throws.
template <typename Call>
auto call_rust(const std::string& where, Call call) {
  try {
    return call();
  } catch (const rust::Error& failure) {
    throw translate(failure, where);
  }
}

inline rust::Slice<const uint8_t> slice(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline rust::Slice<const uint8_t> slice(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

}  // namespace sluice::text
