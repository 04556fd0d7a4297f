#pragma once

#include <string>
#include <string_view>

namespace sluice::io {

/// A name from inside a file, fit for a one-line message: all but printable ASCII as \xNN (the bytes may
/// be no UTF-8, which JSON output would refuse), cut after 120 bytes with "...".
std::string printable(std::string_view text);

}  // namespace sluice::io
