#include "sluice/convert/repack.h"

#include <array>
#include <cstring>
#include <optional>

#include "sluice/convert/half.h"

namespace sluice::convert {
namespace {

using kernels::Format;

constexpr int kBlock = 32;

struct BlockForm {
  int bits = 0, bytes = 0;
  int zero = 0;  ///< the code of the value 0; with a minimum in the block: -1
};

std::optional<BlockForm> form_of(Format format) {
  switch (format) {
    case Format::q4_0:
      return BlockForm{4, 18, 8};
    case Format::q4_1:
      return BlockForm{4, 20, -1};
    case Format::q5_0:
      return BlockForm{5, 22, 16};
    case Format::q5_1:
      return BlockForm{5, 24, -1};
    case Format::q8_0:
      return BlockForm{8, 34, 128};
    default:
      return std::nullopt;
  }
}

uint16_t half_at(const std::byte* p) {
  uint16_t half = 0;
  std::memcpy(&half, p, sizeof half);
  return half;
}

std::array<uint8_t, kBlock> codes_of(const BlockForm& form, const std::byte* p) {
  std::array<uint8_t, kBlock> codes{};
  if (form.bits == 8) {
    for (size_t j = 0; j < kBlock; ++j)
      codes[j] = static_cast<uint8_t>(std::to_integer<uint8_t>(p[j]) + 128U);
    return codes;
  }
  uint32_t high = 0;
  if (form.bits == 5) {
    std::memcpy(&high, p, sizeof high);
    p += sizeof high;
  }
  for (size_t j = 0; j < kBlock; ++j) {
    const auto nibble = std::to_integer<uint32_t>(p[j % 16]) >> (j / 16 * 4) & 15U;
    codes[j] = static_cast<uint8_t>(nibble | (high >> j & 1U) << 4);
  }
  return codes;
}

}  // namespace

kernels::Matrix repacked_layout(const kernels::Matrix& from) {
  const auto form = form_of(from.format);
  if (!form) return {};
  return layout_of(Format::affine, from.rows, from.cols, form->bits, kBlock, Format::f16);
}

void repack_row(const kernels::Matrix& from, int64_t row, const EncodedRow& out) {
  const BlockForm form = *form_of(from.format);
  const std::byte* p = from.data + row * from.row_bytes;
  for (int64_t block = 0; block < from.cols / kBlock; ++block, p += form.bytes) {
    const uint16_t scale = half_at(p);
    const bool has_minimum = form.zero < 0;
    put(out.scales + 2 * block, scale);
    put(out.biases + 2 * block,
        has_minimum ? half_at(p + 2) : to_f16(-static_cast<float>(form.zero) * from_f16(scale)));
    pack_codes(codes_of(form, p + (has_minimum ? 4 : 2)).data(), kBlock, form.bits,
               out.data + block * kBlock * form.bits / 8);
  }
}

}  // namespace sluice::convert
