#include "sluice/base/base64.h"

#include <cstdint>

namespace sluice {

std::string base64(std::string_view bytes) {
  static constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](size_t j) {
      return j < bytes.size() ? static_cast<uint32_t>(static_cast<unsigned char>(bytes[j])) : 0U;
    };
    const uint32_t group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    for (size_t j = 0; j < 4; ++j) {
      const bool padding = i + j > bytes.size();
      out += padding ? '=' : kLetters[group >> (18 - 6 * j) & 63];
    }
  }
  return out;
}

}  // namespace sluice
