#pragma once

#include <filesystem>

namespace sluice::io {

/// Bytes per second at which up to 512 MB of `file` can be read past the page cache, in 1 MiB pieces by
/// four threads. 0 when the file system cannot do that, a read fails or the threads cannot be
/// made: a probe is no reason to stop.
double probe_disk(const std::filesystem::path& file);

}  // namespace sluice::io
