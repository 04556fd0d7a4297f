#pragma once

namespace sluice {

/// Whether this build is checked by a sanitizer (SLUICE_SANITIZE), which takes memory and address space of its own:
/// tests that limit or measure those skip themselves.
#if defined(SLUICE_SANITIZED)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace sluice
