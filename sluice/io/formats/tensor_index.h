#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/io/formats/tensor_types.h"

namespace sluice::io {

/// How a stored tensor is encoded: plain elements, or blocks of a GGUF quantization.
enum class TensorType : uint8_t {
#define SLUICE_ENUMERATOR(name, ...) name,
  SLUICE_TENSOR_TYPES(SLUICE_ENUMERATOR)
#undef SLUICE_ENUMERATOR
};

/// A type as the file formats have it: `block_bytes` hold `block_elements` elements (1 for plain elements).
struct TensorTypeInfo {
  std::string_view name;   ///< lower case: "q4_k", "bf16"
  std::string_view dtype;  ///< in safetensors; empty: not there
  int gguf_type;           ///< -1: not in GGUF
  int block_elements;
  int block_bytes;
};
const TensorTypeInfo& info(TensorType type);

/// The type that a file names; nullopt: none that is read.
std::optional<TensorType> type_of_dtype(std::string_view dtype);
std::optional<TensorType> type_of_gguf(uint32_t number);

/// Bytes a tensor of this type and shape takes. nullopt when a dimension is negative, the last one is
/// no multiple of block_elements, or the number of elements or bytes is above int64's range.
std::optional<uint64_t> stored_bytes(TensorType type, std::span<const int64_t> shape);

/// "[3, 5]", for messages.
std::string shape_text(std::span<const int64_t> shape);

/// Whether tensor data must be there, or a file may end anywhere behind its header: a download's first part.
enum class Data { required, not_needed };

/// Where a tensor's bytes lie. Readers guarantee: offset + bytes is within the file (as long as its header makes it,
/// where data is not needed), bytes is what
/// shape and type need exactly, the last dimension is a multiple of block_elements. A safetensors
/// dimension may be 0.
struct TensorInfo {
  std::string name;
  TensorType type = TensorType::f32;
  std::vector<int64_t> shape;  ///< outermost first (GGUF's order reversed); {} is a scalar
  size_t file = 0;             ///< index into TensorIndex::files
  uint64_t offset = 0;         ///< from the start of that file
  uint64_t bytes = 0;
};

struct ModelFile {
  std::filesystem::path path;
  uint64_t bytes = 0;
};

/// Every tensor of a model, over all its files. No tensor data is read to build one.
struct TensorIndex {
  std::vector<ModelFile> files;
  std::map<std::string, TensorInfo, std::less<>> tensors;

  const TensorInfo* find(std::string_view name) const {
    const auto it = tensors.find(name);
    return it == tensors.end() ? nullptr : &it->second;
  }

  /// The file that most is read from. There is one.
  const std::filesystem::path& largest_file() const {
    return std::ranges::max_element(files, {}, &ModelFile::bytes)->path;
  }
};

}  // namespace sluice::io
