#pragma once

// Keys and values in few bits (kv_code.h): how a block's are made, and how those of 8 bits are read as floats.

#include "sluice/kernels/attention/attention_body.h"

namespace sluice::kernels {
namespace {

/// What a code of 4 bits is above what it stands for.
constexpr float kNibbleZero = 7.5F;
constexpr float most_of(int bits) { return bits == 8 ? 127.0F : kNibbleZero; }

/// Codes of 8 bits of consecutive positions as floats, 16 lanes at a time. As KvRows otherwise.
struct CodeRows {
  const std::byte* data;
  int64_t stride;  ///< channels from one position to the next, a multiple of 32
  const void* next;

  [[gnu::always_inline]] f32x16 at(int64_t position, int64_t d) const {
    u8x16 codes;
    std::memcpy(&codes, data + position * stride + d, sizeof codes);
    return to_float(widen_i8(codes));
  }
  template <int n>
  [[gnu::always_inline]] void fetch_next(int64_t position, int64_t d) const {
    const int64_t byte = position * stride + d;
    if (!next || byte % 64 != 0) return;
    const auto line = reinterpret_cast<uintptr_t>(next) + static_cast<uintptr_t>(byte);
    __builtin_prefetch(reinterpret_cast<const void*>(line), 0, 2);
  }
};

/// out[32] = x[32] by the Hadamard matrix over sqrt(32), which undoes itself. Each of five steps makes sums and
/// differences of the two halves and interleaves them.
inline void rotate32(const float* x, float* out) {
  alignas(64) float a[32], b[32];
  std::memcpy(a, x, sizeof a);
  for (int step = 0; step < 5; ++step) {
    for (int i = 0; i < 16; ++i) {
      b[2 * i] = a[i] + a[i + 16];
      b[2 * i + 1] = a[i] - a[i + 16];
    }
    std::memcpy(a, b, sizeof a);
  }
  const f32x16 factor = splat(0.17677669529663687F);
  store(out, load(a) * factor);
  store(out + 16, load(a + 16) * factor);
}

/// The codes of x / scale: from -127 on, or from 0 for 4 bits. inverse: 1 / scale, 0 where that is 0.
template <int bits>
inline i32x16 codes_of(f32x16 x, f32x16 inverse) {
  f32x16 code = x * inverse;
  if (bits == 4) code = code + splat(kNibbleZero);
  code = max(min(code, splat(bits == 8 ? 127.0F : 15.0F)), splat(bits == 8 ? -127.0F : 0.0F));
  const f32x16 magic = splat(0x1.8p23F);  // adding it rounds to an integer, kept in the low bits
  return ::sluice::kernels::bits(code + magic) - ::sluice::kernels::bits(magic);
}

/// The codes of 32 channels, a byte each.
template <int bits>
inline void codes_of_32(const float* x, f32x16 first_inverse, f32x16 second_inverse,
                        std::byte* out) {
  store_int8(out, codes_of<bits>(load(x), first_inverse));
  store_int8(out + 16, codes_of<bits>(load(x + 16), second_inverse));
}

/// Of a position's key: eight channels' codes are the four bytes of its place among sixteen.
inline void pack_key(const std::byte* codes, int64_t position, int64_t lanes, std::byte* keys) {
  std::byte* out = keys + position / 16 * 8 * lanes + position % 16 * 4;
  for (int64_t c = 0; c < lanes; c += 8, out += 64) {
    uint32_t low, high;
    std::memcpy(&low, codes + c, 4);
    std::memcpy(&high, codes + c + 4, 4);
    low |= high << 4;
    std::memcpy(out, &low, 4);
  }
}

/// Of 32 channels' values at eight positions, [8, 32] codes: eight positions' codes are the four bytes of a channel.
inline void pack_values(const std::byte* codes, std::byte* out, int64_t sixteen_apart) {
  for (int64_t c = 0; c < 32; ++c) {
    for (int64_t t = 0; t < 4; ++t)
      out[c / 16 * sixteen_apart + c % 16 * 4 + t] = codes[32 * t + c] | codes[32 * (t + 4) + c]
                                                                             << 4;
  }
}

/// Keeps 16 scales as float16, and has those and their inverses; what is beyond float16 saturates, NaN stays.
inline void keep_scales(f32x16 scales, std::byte* out, float* inverses) {
  store_f16(out, min(splat(65504.0F), scales));  // of a NaN min() gives the second
  const f32x16 kept = load_f16(out);
  store(inverses, if_less(splat(0.0F), kept, splat(1.0F) / kept, splat(0.0F)));
}

/// Some positions' rows as floats, [n, KvCode::lanes(head_dim)], zeros from head_dim on.
template <KvType type>
inline void read_rows(const void* rows, int64_t first, int64_t n, int64_t head_dim, float* out) {
  const int64_t lanes = KvCode::lanes(head_dim), row = head_dim * KvRows<type>::kElement;
  std::memset(out, 0, static_cast<size_t>(n * lanes) * sizeof(float));
  for (int64_t j = 0; j < n; ++j) {
    const std::byte* at = static_cast<const std::byte*>(rows) + (first + j) * row;
    decode_rows(KvRows<type>{at, head_dim, nullptr}, 1, head_dim, out + j * lanes);
  }
}

/// What is kept of one group of keys' channels.
struct KeyRange {
  alignas(64) float least[kMaxHeadDim], most[kMaxHeadDim], bad[kMaxHeadDim];
  alignas(64) float mids[kMaxHeadDim], inverses[kMaxHeadDim];

  void begin(int64_t lanes) {
    for (int64_t d = 0; d < lanes; d += 16) {
      store(least + d, splat(__builtin_inff()));
      store(most + d, splat(-__builtin_inff()));
      store(bad + d, splat(0.0F));
    }
  }
  /// NaN is not seen by min and max, but makes `bad` NaN, as infinities do.
  void add(const float* row, int64_t lanes) {
    for (int64_t d = 0; d < lanes; d += 16) {
      const f32x16 x = load(row + d);
      store(least + d, min(x, load(least + d)));
      store(most + d, max(x, load(most + d)));
      store(bad + d, load(bad + d) + x * splat(0.0F));
    }
  }
  void end(int64_t lanes, int bits, std::byte* scales_out, std::byte* mids_out) {
    for (int64_t d = 0; d < lanes; d += 16) {
      const f32x16 low = load(least + d), high = load(most + d), nan = load(bad + d);
      const f32x16 mid = (low + high) * splat(0.5F);
      store_f16(mids_out + 2 * d, max(min(mid, splat(65504.0F)), splat(-65504.0F)) + nan);
      const f32x16 kept = load_f16(mids_out + 2 * d);
      store(mids + d, kept);
      const f32x16 reach = max(high - kept, kept - low);
      keep_scales(reach * splat(1.0F / most_of(bits)) + nan, scales_out + 2 * d, inverses + d);
    }
  }
};

template <KvType type, int bits>
inline void code_keys(const CodeTask& task) {
  const int64_t head_dim = task.head_dim, lanes = KvCode::lanes(head_dim);
  const int64_t group = task.code.key_group();
  alignas(64) float rows[kChunkPositions * kMaxHeadDim];
  KeyRange range;
  for (int64_t first = 0; first < kKvBlockTokens; first += group) {
    const auto each_row = [&](auto body) {
      for (int64_t at = first; at < first + group; at += kChunkPositions) {
        read_rows<type>(task.k, at, kChunkPositions, head_dim, rows);
        for (int64_t j = 0; j < kChunkPositions; ++j) body(at + j, rows + j * lanes);
      }
    };
    const int64_t of_group = first / group * lanes * 2;
    range.begin(lanes);
    each_row([&](int64_t, const float* row) { range.add(row, lanes); });
    range.end(lanes, bits, task.out + task.code.key_scales(head_dim) + of_group,
              task.out + task.code.key_mids(head_dim) + of_group);
    each_row([&](int64_t position, const float* row) {
      alignas(64) std::byte codes[kMaxHeadDim];
      for (int64_t d = 0; d < lanes; d += 32) {
        alignas(64) float x[32];
        store(x, load(row + d) - load(range.mids + d));
        store(x + 16, load(row + d + 16) - load(range.mids + d + 16));
        codes_of_32<bits>(x, load(range.inverses + d), load(range.inverses + d + 16), codes + d);
      }
      if constexpr (bits == 8) {
        std::memcpy(task.out + position * lanes, codes, static_cast<size_t>(lanes));
      } else {
        pack_key(codes, position, lanes, task.out);
      }
    });
  }
}

/// Of 32 channels the scale that reaches the largest magnitude, NaN when one is not finite.
inline float value_scale(const float* x, int bits) {
  const f32x16 a = load(x), b = load(x + 16);
  const float nan = tree_sum(a * splat(0.0F) + b * splat(0.0F));
  return tree_max(max(absolute(a), absolute(b))) * (1.0F / most_of(bits)) + nan;
}

template <KvType type, int bits>
inline void code_values(const CodeTask& task) {
  const int64_t head_dim = task.head_dim, lanes = KvCode::lanes(head_dim);
  alignas(64) float rows[kChunkPositions * kMaxHeadDim];
  alignas(64) float scales[kChunkPositions], inverses[kChunkPositions];
  for (int64_t first = 0; first < kKvBlockTokens; first += kChunkPositions) {
    read_rows<type>(task.v, first, kChunkPositions, head_dim, rows);
    for (int64_t d = 0; d < lanes; d += 32) {
      const int64_t at = d / 32 * kKvBlockTokens + first;
      for (int64_t j = 0; j < kChunkPositions; ++j) {
        float* x = rows + j * lanes + d;
        if (bits == 4) rotate32(x, x);
        scales[j] = value_scale(x, bits);
      }
      for (int64_t j = 0; j < kChunkPositions; j += 16) {
        keep_scales(load(scales + j), task.out + task.code.value_scales(head_dim) + 2 * (at + j),
                    inverses + j);
      }
      std::byte codes[kChunkPositions * 32];
      for (int64_t j = 0; j < kChunkPositions; ++j) {
        const f32x16 inverse = splat(inverses[j]);
        codes_of_32<bits>(rows + j * lanes + d, inverse, inverse, codes + 32 * j);
      }
      std::byte* out = task.out + task.code.values(head_dim);
      if constexpr (bits == 8) {
        std::memcpy(out + 32 * at, codes, sizeof codes);
      } else {
        constexpr int64_t kSixteen = kKvBlockTokens * 16 / 2;
        for (int64_t j = 0; j < kChunkPositions; j += 8)
          pack_values(codes + 32 * j, out + d / 16 * kSixteen + (first + j) / 8 * 64, kSixteen);
      }
    }
  }
}

template <KvType type>
inline void code_kv_as(const CodeTask& task) {
  task.code.key_bits == 8 ? code_keys<type, 8>(task) : code_keys<type, 4>(task);
  task.code.value_bits == 8 ? code_values<type, 8>(task) : code_values<type, 4>(task);
}

inline void code_kv(const CodeTask& task) noexcept {
  switch (task.type) {
    case KvType::f32:
      return code_kv_as<KvType::f32>(task);
    case KvType::f16:
      return code_kv_as<KvType::f16>(task);
    case KvType::bf16:
      return code_kv_as<KvType::bf16>(task);
  }
}

}  // namespace
}  // namespace sluice::kernels
