#include "sluice/io/formats/header_extent.h"

#include <bit>
#include <cstring>

#include "sluice/base/error.h"
#include "sluice/io/formats/gguf.h"
#include "sluice/io/formats/gguf_reader.h"

namespace sluice::io {
namespace {

constexpr uint64_t kFirstOfSafetensors = 128 << 10;  // usually all
constexpr uint64_t kFirstOfGguf = 1 << 20;
constexpr uint64_t kMostOfGguf = 64 << 20;

static_assert(std::endian::native == std::endian::little, "a length is read as it lies");

}  // namespace

uint64_t safetensors_header_extent(std::span<const std::byte> beginning) {
  uint64_t length = 0;
  if (beginning.size() < sizeof(length)) return kFirstOfSafetensors;
  std::memcpy(&length, beginning.data(), sizeof(length));
  return length > kLongestSafetensorsHeader ? beginning.size() : sizeof(length) + length;
}

uint64_t GgufHeaderExtent::operator()(std::span<const std::byte> beginning) {
  if (beginning.size() < kFirstOfGguf) return kFirstOfGguf;
  try {
    Gguf gguf;
    read_gguf_header(beginning, "", 0, gguf, Data::not_needed);
  } catch (const Error& error) {
    // Cut short, or damaged? What is said of a cut counts the bytes that are left, so it differs from
    // beginning to beginning.
    const bool may_be_cut = error.kind() == ErrorKind::bad_model && error.what() != message_;
    message_ = error.what();
    if (may_be_cut && beginning.size() < kMostOfGguf) return 2 * beginning.size();
  }
  return beginning.size();
}

}  // namespace sluice::io
