#pragma once

// Every way in which a tensor is stored, listed once. Macros only: kernels' units take their
// formats from here too. X(enumerator, kernel format, name, safetensors dtype, GGUF type number,
// elements and bytes of a block)

/// Elements that kernels multiply with as they lie.
#define SLUICE_FLOAT_TYPES(X)        \
  X(f32, f32, "f32", "F32", 0, 1, 4) \
  X(f16, f16, "f16", "F16", 1, 1, 2) \
  X(bf16, bf16, "bf16", "BF16", 30, 1, 2)

/// Elements that no kernel multiplies with alone; MLX's packed integers are u32 and u8. -1: not in
/// GGUF.
#define SLUICE_OTHER_TYPES(X)                      \
  X(f64, none, "f64", "F64", 28, 1, 8)             \
  X(i64, none, "i64", "I64", 27, 1, 8)             \
  X(i32, none, "i32", "I32", 26, 1, 4)             \
  X(i16, none, "i16", "I16", 25, 1, 2)             \
  X(i8, none, "i8", "I8", 24, 1, 1)                \
  X(u64, none, "u64", "U64", -1, 1, 8)             \
  X(u32, none, "u32", "U32", -1, 1, 4)             \
  X(u16, none, "u16", "U16", -1, 1, 2)             \
  X(u8, none, "u8", "U8", -1, 1, 1)                \
  X(boolean, none, "bool", "BOOL", -1, 1, 1)       \
  X(f8_e4m3, none, "f8_e4m3", "F8_E4M3", -1, 1, 1) \
  X(f8_e5m2, none, "f8_e5m2", "F8_E5M2", -1, 1, 1) \
  X(f8_e8m0, none, "f8_e8m0", "F8_E8M0", -1, 1, 1)

/// GGUF blocks whose codes are decoded before they are multiplied with.
#define SLUICE_GGUF_CODED(X)                      \
  X(iq2_xxs, iq2_xxs, "iq2_xxs", "", 16, 256, 66) \
  X(iq2_xs, iq2_xs, "iq2_xs", "", 17, 256, 74)    \
  X(iq2_s, iq2_s, "iq2_s", "", 22, 256, 82)       \
  X(iq3_xxs, iq3_xxs, "iq3_xxs", "", 18, 256, 98) \
  X(iq3_s, iq3_s, "iq3_s", "", 21, 256, 110)      \
  X(iq1_s, iq1_s, "iq1_s", "", 19, 256, 50)       \
  X(iq1_m, iq1_m, "iq1_m", "", 29, 256, 56)       \
  X(tq1_0, tq1_0, "tq1_0", "", 34, 256, 54)       \
  X(tq2_0, tq2_0, "tq2_0", "", 35, 256, 66)       \
  X(nvfp4, gguf_nvfp4, "nvfp4", "", 40, 64, 36)   \
  X(q1_0, q1_0, "q1_0", "", 41, 128, 18)          \
  X(q2_0, q2_0, "q2_0", "", 42, 64, 18)

/// Blocks of a GGUF quantization along a row; safetensors files have none.
#define SLUICE_GGUF_BLOCKS(X)                   \
  X(q4_0, q4_0, "q4_0", "", 2, 32, 18)          \
  X(q4_1, q4_1, "q4_1", "", 3, 32, 20)          \
  X(q5_0, q5_0, "q5_0", "", 6, 32, 22)          \
  X(q5_1, q5_1, "q5_1", "", 7, 32, 24)          \
  X(q8_0, q8_0, "q8_0", "", 8, 32, 34)          \
  X(q2_k, q2_k, "q2_k", "", 10, 256, 84)        \
  X(q3_k, q3_k, "q3_k", "", 11, 256, 110)       \
  X(q4_k, q4_k, "q4_k", "", 12, 256, 144)       \
  X(q5_k, q5_k, "q5_k", "", 13, 256, 176)       \
  X(q6_k, q6_k, "q6_k", "", 14, 256, 210)       \
  X(iq4_nl, iq4_nl, "iq4_nl", "", 20, 32, 18)   \
  X(iq4_xs, iq4_xs, "iq4_xs", "", 23, 256, 136) \
  X(mxfp4, gguf_mxfp4, "mxfp4", "", 39, 32, 17) \
  SLUICE_GGUF_CODED(X)

#define SLUICE_TENSOR_TYPES(X) SLUICE_FLOAT_TYPES(X) SLUICE_OTHER_TYPES(X) SLUICE_GGUF_BLOCKS(X)
