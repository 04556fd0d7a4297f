#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "sluice/io/formats/tensor_index.h"

namespace sluice::io {

/// Reads the header of one safetensors file (https://github.com/huggingface/safetensors, format README):
/// 8-byte little-endian header length, JSON header, data without holes or overlap to the exact end.
/// `header` holds the first 8 + header-length bytes at least; file_bytes is the size of the whole file, or of what
/// there is of it where data is not needed. Adds the tensors to `index` under files[file]. `where` names the file in
/// errors. Returns the size of the whole file.
/// Throws Error(bad_model): header longer than the file or 100 MB, bad JSON, unknown field or dtype,
/// negative or overflowing shape, offsets out of bounds, overlapping or with holes, size unlike the
/// shape's, a name seen before. Throws Error(unsupported): a dtype of the format that TensorType lacks.
uint64_t read_safetensors_header(std::span<const std::byte> header, uint64_t file_bytes,
                                 const std::string& where, size_t file, TensorIndex& index,
                                 Data data = Data::required);

/// Reads a directory's weights: the shards that model.safetensors.index.json names, which must be plain file names
/// in the directory; else every model*.safetensors, else every *.safetensors. The index chooses files and nothing
/// else: which tensors there are, the shards say. Where a shard of it is missing, model.safetensors does for all.
/// Throws Error(bad_model) for a missing shard, a Git LFS pointer in place of one, and all of the above.
TensorIndex open_safetensors(const std::filesystem::path& directory, Data data = Data::required);

}  // namespace sluice::io
