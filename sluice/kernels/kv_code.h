#pragma once

#include <cstdint>

namespace sluice::kernels {

/// How a head's keys and values of one whole block of 256 tokens are kept in few bits. A key element is
/// mid[c] + scale[c] code, with a scale and a mid for each channel c and each group of tokens (keys have channels that
/// are far from zero all along; Liu et al. 2024, arXiv:2402.02750); a value element is scale[t] code, with a scale for each token t and each 32
/// channels. Codes of 8 bits are from -127 to 127; those of 4 bits stand for -7.5 to 7.5, and values are first rotated,
/// 32 channels by a Hadamard matrix over sqrt(32), so that no channel stands out. Scales and mids are float16; what
/// is not finite makes its group NaN. Where the parts lie in bytes():
///   keys [256, lanes], key scales [groups, lanes], mids [groups, lanes], values [lanes / 32, 256, 32], scales [lanes / 32, 256].
/// Of 4 bits, keys are [256 / 16, lanes / 8, 16, 4] bytes, a token's four with its eight channels' codes, the first four in
/// the low halves; values are [lanes / 16, 256 / 8, 16, 4] bytes, a channel's four with its eight tokens' codes likewise.
struct KvCode {
  int32_t key_bits = 0, value_bits = 0;  ///< 8 or 4 each; 0: keys and values are not kept so

  static constexpr int64_t kTokens = 256, kChannels = 32;

  constexpr bool operator==(const KvCode&) const = default;
  constexpr explicit operator bool() const { return key_bits > 0; }

  static constexpr int64_t lanes(int64_t head_dim) {
    return (head_dim + kChannels - 1) / kChannels * kChannels;
  }
  /// Tokens that share a key channel's scale.
  constexpr int64_t key_group() const { return key_bits == 8 ? 256 : 64; }

  constexpr int64_t key_scales(int64_t head_dim) const {
    return kTokens * lanes(head_dim) * key_bits / 8;
  }
  constexpr int64_t key_mids(int64_t head_dim) const {
    return key_scales(head_dim) + kTokens / key_group() * lanes(head_dim) * 2;
  }
  constexpr int64_t values(int64_t head_dim) const {
    return key_mids(head_dim) + kTokens / key_group() * lanes(head_dim) * 2;
  }
  constexpr int64_t value_scales(int64_t head_dim) const {
    return values(head_dim) + kTokens * lanes(head_dim) * value_bits / 8;
  }
  /// A multiple of 64.
  constexpr int64_t bytes(int64_t head_dim) const {
    return value_scales(head_dim) + lanes(head_dim) / kChannels * kTokens * 2;
  }
};

}  // namespace sluice::kernels
