#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "sluice/base/bytes.h"

namespace sluice::io {

/// What Git LFS leaves in place of a large file that was not fetched: a few lines of text that name it
/// (https://github.com/git-lfs/git-lfs, docs/spec.md). `file`: a file's bytes, or its beginning.
/// The size of the file that is missing (0 when the pointer does not tell); nullopt for any other file.
std::optional<Bytes> lfs_pointer_at(std::span<const std::byte> file);

/// Throws Error(bad_model) with what to do when `file`, named `where`, is such a pointer.
void refuse_lfs_pointer(std::span<const std::byte> file, const std::string& where);

}  // namespace sluice::io
