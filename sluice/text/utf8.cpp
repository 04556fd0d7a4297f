#include "sluice/text/utf8.h"

#include <cstddef>
#include <cstdint>

namespace sluice::text {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// What may follow a character's first byte (Unicode 15, table 3-7).
struct Lead {
  size_t length;            // of the whole character; 0: no character begins so
  uint8_t lowest, highest;  // second byte; those after it are 80 to BF
};

Lead lead(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

/// How many bytes of `bytes` belong to the character that its first byte begins.
size_t valid_prefix(std::string_view bytes, const Lead& lead) {
  size_t n = 1;
  while (n < lead.length && n < bytes.size()) {
    const auto byte = static_cast<uint8_t>(bytes[n]);
    const bool second = n == 1;
    if (byte < (second ? lead.lowest : 0x80) || byte > (second ? lead.highest : 0xBF)) break;
    ++n;
  }
  return n;
}

}  // namespace

std::string Utf8Stream::push(std::string_view bytes) {
  std::string joined;
  if (!pending_.empty()) {
    joined = pending_ + std::string(bytes);
    pending_.clear();
    bytes = joined;
  }
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const Lead first = lead(static_cast<uint8_t>(bytes.front()));
    const size_t n = valid_prefix(bytes, first);
    if (n == first.length) {
      text.append(bytes.substr(0, n));
    } else if (n == bytes.size() && first.length != 0) {
      pending_ = bytes;
      break;
    } else {
      text.append(kReplacement);
    }
    bytes.remove_prefix(n);
  }
  return text;
}

std::string Utf8Stream::finish() {
  if (pending_.empty()) return {};
  pending_.clear();
  return std::string(kReplacement);
}

}  // namespace sluice::text
