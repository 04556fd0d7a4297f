#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sluice/io/formats/tensor_index.h"
#include "sluice/io/mapped_file.h"

namespace sluice::io {

/// Metadata value types by their numbers in the file (https://github.com/ggml-org/ggml, docs/gguf.md).
enum class GgufType : uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};

/// A metadata array, left where it is in the file (a vocabulary has 262,144 strings).
/// The reader has checked that every element lies within `bytes`. Arrays of arrays are refused.
/// The file may change on disk meanwhile: strings() checks again.
struct GgufArray {
  GgufType element = GgufType::u8;
  uint64_t count = 0;
  std::span<const std::byte> bytes;

  /// The strings, as views into the file. Throws Error(bad_model) unless element is string.
  std::vector<std::string_view> strings() const;
  /// The numbers, converted (a boolean is 0 or 1). Throws Error(bad_model) when the elements are strings;
  /// integers() also for floats and for numbers above int64's range.
  std::vector<double> numbers() const;
  std::vector<int64_t> integers() const;
};

/// Every integer type becomes int64_t; only a u64 above int64's range stays uint64_t.
using GgufValue = std::variant<int64_t, uint64_t, double, bool, std::string_view, GgufArray>;

/// A GGUF file's key-value pairs. Views point into the mapped file, which Gguf keeps alive.
class GgufMetadata {
 public:
  std::string where;  ///< the file's name, for errors
  std::map<std::string, GgufValue, std::less<>> values;

  const GgufValue* find(std::string_view key) const;
  /// Absent: nullopt. Present with another type, or an integer out of int64's range: Error(bad_model).
  std::optional<int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;  ///< integers are converted
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string_view> string(std::string_view key) const;
  std::optional<GgufArray> array(std::string_view key) const;
};

struct Gguf {
  uint32_t version = 0;
  GgufMetadata metadata;                                    ///< of the first file
  TensorIndex index;                                        ///< over all split files
  std::vector<std::shared_ptr<const MappedFile>> mappings;  ///< one per index.files entry
};

/// Parses one GGUF v2 or v3 file's header; `bytes` is the whole file. Every count, length and offset is checked against
/// file.size() with 64-bit overflow checks before anything is allocated; nothing recurses.
/// Tensors go to `gguf.index` under files[file]; metadata to gguf.metadata when file == 0.
/// Throws Error(bad_model) naming `where`, the key or tensor, got and wanted; Error(unsupported) for
/// versions other than 2 and 3, big-endian files and tensor types that TensorType lacks.
void read_gguf_header(std::span<const std::byte> bytes, const std::string& where, size_t file,
                      Gguf& gguf);

/// Whether `path` names a GGUF file rather than a directory of safetensors.
inline bool is_gguf(const std::filesystem::path& path) { return path.extension() == ".gguf"; }

/// Opens model.gguf, or all of model-00001-of-0000N.gguf when given the first (split.count metadata).
/// Throws Error(bad_request) when given a later one, Error(bad_model) when one is missing or says it is
/// another part, and all of the above.
Gguf open_gguf(const std::filesystem::path& path, Data data = Data::required);

}  // namespace sluice::io
