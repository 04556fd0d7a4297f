#pragma once
// For tests: directories that vanish, and writers of GGUF and safetensors bytes that check nothing, so
// that every kind of damage can be written.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/io/formats/gguf.h"

namespace sluice::io {

class TestDirectory {
 public:
  TestDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "sluice-io-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) fail(ErrorKind::io, "{}: cannot be made", name);
    path_ = name;
  }
  ~TestDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }

  std::filesystem::path write(const std::string& name, std::string_view contents) const {
    std::ofstream(path_ / name, std::ios::binary) << contents;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

/// The Error that `action` throws; a failed test when it throws none.
template <typename Action>
Error error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorKind::internal, "nothing was thrown");
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// Little-endian bytes of a number.
template <typename T>
std::string raw(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

/// GGUF's string: its length and its bytes.
inline std::string gguf_string(std::string_view text) {
  return raw(uint64_t{text.size()}) + std::string(text);
}

/// One metadata pair; `value` is written as it is.
inline std::string gguf_pair(std::string_view key, GgufType type, const std::string& value) {
  return gguf_string(key) + raw(static_cast<uint32_t>(type)) + value;
}

inline std::string gguf_array(GgufType element, uint64_t count, const std::string& values) {
  return raw(static_cast<uint32_t>(element)) + raw(count) + values;
}

/// One tensor record; `dimensions` as in the file, innermost first; type by its number.
inline std::string gguf_tensor(std::string_view name, const std::vector<uint64_t>& dimensions,
                               uint32_t type, uint64_t offset) {
  std::string record = gguf_string(name) + raw(static_cast<uint32_t>(dimensions.size()));
  for (const uint64_t dimension : dimensions) record += raw(dimension);
  return record + raw(type) + raw(offset);
}

struct GgufFile {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::vector<std::string> tensors = {};
  std::vector<std::string> pairs = {};
  uint64_t extra_tensors = 0;  ///< claimed in the header, not there
  uint64_t extra_pairs = 0;
  size_t alignment = 32;
  size_t data_bytes = 0;

  std::string bytes() const {
    std::string out = magic + raw(version) + raw(tensors.size() + extra_tensors) +
                      raw(pairs.size() + extra_pairs);
    for (const auto& pair : pairs) out += pair;
    for (const auto& tensor : tensors) out += tensor;
    if (data_bytes != 0)
      out.resize((out.size() + alignment - 1) / alignment * alignment + data_bytes, 'd');
    return out;
  }
};

/// A safetensors file with this header text and so many bytes of data.
inline std::string safetensors_file(std::string_view header, size_t data_bytes) {
  return raw(uint64_t{header.size()}) + std::string(header) + std::string(data_bytes, 'd');
}

}  // namespace sluice::io
