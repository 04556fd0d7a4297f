#pragma once

#include <unistd.h>

#include <cstddef>

namespace sluice::io {

/// Of this machine: 4, 16 or 64 KiB. What memory is mapped, lost and given back in.
inline size_t page_size() { return static_cast<size_t>(::sysconf(_SC_PAGESIZE)); }

}  // namespace sluice::io
