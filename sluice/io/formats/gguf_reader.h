#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/io/formats/gguf.h"

namespace sluice::io {

/// A position in a GGUF file that only moves forward and never past the end. Each byte is read once: the
/// file may change on disk while it is parsed.
class GgufReader {
 public:
  /// `context` begins every message: "model.gguf" or "model.gguf: key tokenizer.ggml.tokens".
  GgufReader(std::span<const std::byte> bytes, std::string context)
      : bytes_(bytes), context_(std::move(context)) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }
  const std::string& context() const { return context_; }
  void set_context(std::string context) { context_ = std::move(context); }

  /// The next n bytes. Throws Error(bad_model) when fewer are left.
  std::span<const std::byte> take(uint64_t n) {
    if (n > remaining()) {
      fail(ErrorKind::bad_model, "{}: wants {} bytes at {}, the file ends after {}", context_, n,
           position_, remaining());
    }
    const auto taken = bytes_.subspan(position_, n);
    position_ += n;
    return taken;
  }

  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }

  /// A 64-bit length and that many bytes.
  std::string_view string() {
    const auto text = take(number<uint64_t>());
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
  std::string context_;
};

/// Bytes of one value; nullopt for strings and arrays, whose values differ in length.
std::optional<size_t> gguf_type_bytes(GgufType type);
std::string_view gguf_type_name(GgufType type);

/// The same as read_gguf_header of a file that may end behind its header.
void read_gguf_header(std::span<const std::byte> bytes, const std::string& where, size_t file,
                      Gguf& gguf, Data data);

/// The two parts of a header, in their order in the file. Both throw as read_gguf_header.
GgufMetadata read_gguf_metadata(GgufReader& reader, uint64_t n_pairs, const std::string& where);
/// The tensors' offsets are from the start of the file; their `file` is left 0.
std::vector<TensorInfo> read_gguf_tensors(GgufReader& reader, uint64_t n_tensors,
                                          uint64_t alignment, const std::string& where, Data data);

}  // namespace sluice::io
