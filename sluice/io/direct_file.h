#pragma once

#include <filesystem>

namespace sluice::io {

/// Opens a file for reads that bypass the page cache: O_DIRECT on Linux, F_NOCACHE on macOS. -1 when it
/// cannot be done. Offsets, lengths and addresses must then be multiples of 4096.
int open_direct(const std::filesystem::path& file);

}  // namespace sluice::io
