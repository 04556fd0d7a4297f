#pragma once

#include "require.h"
#include "sluice/io/formats/tensor_index.h"

/// What every reader of tensors guarantees of an index over one file.
inline void require_sound(const sluice::io::TensorIndex& index, uint64_t file_bytes) {
  for (const auto& [name, tensor] : index.tensors) {
    require(name == tensor.name, "a tensor's key is its name");
    require(tensor.offset <= file_bytes && tensor.bytes <= file_bytes - tensor.offset,
            "a tensor lies within the file");
    const auto wanted = sluice::io::stored_bytes(tensor.type, tensor.shape);
    require(wanted && *wanted == tensor.bytes, "a tensor has the bytes that type and shape need");
  }
}
