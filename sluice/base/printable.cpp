#include "sluice/base/printable.h"

#include <fmt/format.h>

#include <cstdint>

namespace sluice {
namespace {

struct Character {
  uint32_t code = 0;
  size_t length = 0;  // bytes; 0 when the bytes are not UTF-8
};

/// Reads the UTF-8 character at the start of text: shortest form only, no surrogates (RFC 3629).
Character first_character(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t length = lead >= 0xf5   ? 0
                        : lead >= 0xf0 ? 4
                        : lead >= 0xe0 ? 3
                        : lead >= 0xc2 ? 2
                                       : 0;
  if (length == 0 || text.size() < length) return {};
  uint32_t code = lead & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3fu);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kSmallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
  return {code, length};
}

/// Characters that move the cursor, start an escape sequence or reorder the text around them: C0, DEL, C1,
/// the line separators, and what Unicode calls Bidi_Control.
bool is_hazard(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c || code == 0x200e ||
         code == 0x200f || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

std::string escape(std::string_view text, std::string_view kept) {
  std::string safe;
  safe.reserve(text.size());
  while (!text.empty()) {
    const Character c = first_character(text);
    const size_t length = c.length == 0 ? 1 : c.length;
    if (c.length == 0) {
      safe += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    } else if (!is_hazard(c.code) || kept.find(text[0]) != kept.npos) {
      safe += text.substr(0, length);
    } else if (c.code == '\n') {
      safe += "\\n";
    } else {
      safe += c.code < 0x100 ? fmt::format("\\x{:02x}", c.code) : fmt::format("\\u{:04x}", c.code);
    }
    text.remove_prefix(length);
  }
  return safe;
}

}  // namespace

std::string printable(std::string_view text) { return escape(text, ""); }

std::string printable_text(std::string_view text) { return escape(text, "\n\t"); }

std::string printable_name(std::string_view name) {
  constexpr size_t kLongest = 120;
  if (name.size() <= kLongest) return printable(name);
  size_t end = kLongest;
  // Back to where a character starts; more than three bytes that start none are no UTF-8.
  while (end > kLongest - 4 && (static_cast<unsigned char>(name[end]) & 0xc0) == 0x80) --end;
  return printable(name.substr(0, end)) + "...";
}

}  // namespace sluice
