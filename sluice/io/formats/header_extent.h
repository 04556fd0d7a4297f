#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace sluice::io {

/// A longer safetensors header is refused, as by the format's own library.
inline constexpr uint64_t kLongestSafetensorsHeader = 100'000'000;

// For those who fetch a file piece by piece: how many bytes from its start are wanted to read its header,
// seeing the first ones. When that is no more than these, they do, or no more of them would help: the reader
// then says what is wrong.

/// The header's length stands in the first 8 bytes.
uint64_t safetensors_header_extent(std::span<const std::byte> beginning);

/// A GGUF's header is 1 to 16 MB long, by its vocabulary, and says so nowhere: longer and longer beginnings
/// are parsed. To be asked of them in turn.
class GgufHeaderExtent {
 public:
  uint64_t operator()(std::span<const std::byte> beginning);

 private:
  std::string message_;  // of the beginning before
};

}  // namespace sluice::io
