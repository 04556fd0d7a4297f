#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sluice/kernels/int8_row.h"
#include "sluice/kernels/kv_code.h"
#include "sluice/kernels/matrix.h"

namespace sluice::kernels {

enum class Activation : uint8_t {
  silu,
  gelu,
  gelu_tanh,
  relu,
  relu_squared,
  sigmoid,
  exp,
  swiglu_clipped
};
enum class KvType : uint8_t { f32, f16, bf16 };

constexpr int kKvBlockTokens = 256;

/// The positions [begin, end) of a block that a query sees; begin >= end: none.
struct Visible {
  int32_t begin = 0, end = 0;
};

/// Queries that share one key head (query heads of a group, consecutive tokens) against one block.
/// `lanes` is head_dim rounded up to a multiple of 16. A part is what one block, or several merged, give
/// one query: kPartHeader floats, of which part[0] is the scores' maximum m and part[1] the sum of
/// exp(s - m), then [lanes] the sum of exp(s_j - m) v_j. A part with sum 0 is of no position.
constexpr int kPartHeader = 16;
struct AttendTask {
  int64_t n_queries = 0;
  const float* q = nullptr;          ///< [n_queries, lanes], zeros from head_dim on
  const Visible* visible = nullptr;  ///< [n_queries]
  const void* k = nullptr;     ///< [256, head_dim] of `type`; read from the least begin to the
  const void* v = nullptr;     ///< greatest end; a position reaches the queries that see it only
  const void* next = nullptr;  ///< what the next call reads first, or null (a hint only)
  int32_t head_dim = 0;        ///< 1 to 640
  KvType type = KvType::f16;
  float scale = 1.0F;
  float softcap = 0.0F;    ///< > 0: s = softcap * tanh(s / softcap)
  float* parts = nullptr;  ///< [n_queries, kPartHeader + lanes], written
  KvCode code = {};        ///< of attend_coded
};

/// One head's keys and values of a block, to be kept in few bits.
struct CodeTask {
  const void *k = nullptr, *v = nullptr;  ///< [256, head_dim] of `type`
  KvType type = KvType::f16;
  int32_t head_dim = 0;  ///< 1 to 640
  KvCode code = {};
  std::byte* out = nullptr;  ///< [code.bytes(head_dim)], written
};

/// One token's step of a head's matrix state S (linear attention, Katharopoulos et al. 2020, arXiv:2006.16236; the delta
/// rule, Yang et al. 2024, arXiv:2412.06464; Mamba-2, Dao & Gu 2024, arXiv:2405.21060; RWKV-7, Peng et al. 2025, arXiv:2503.14456):
///   S = S decay;  u = beta (value - S key) with `delta`, else beta value;  S = S + u key^T - (S look) erase^T with `look`;
///   out = S query. Not both `delta` and `look`.
struct StateStep {
  float* state = nullptr;  ///< [n_rows, n_cols], changed
  int64_t n_rows = 0, n_cols = 0;
  float decay = 1.0F;
  const float* decays = nullptr;  ///< [n_cols], in place of `decay`; or null
  const float* key = nullptr;     ///< [n_cols]
  const float* query = nullptr;   ///< [n_cols]
  const float* value = nullptr;   ///< [n_rows]
  float beta = 1.0F;
  bool delta = false;
  const float *look = nullptr, *erase = nullptr;  ///< [n_cols] each, or both null
  float* out = nullptr;                           ///< [n_rows]
};

/// Every kernel of one instruction set. All are single-threaded and noexcept; callers split the work.
/// Canonical order (DESIGN section 6): a dot product over k keeps 16 partial sums, element k in sum
/// k mod 16, k ascending, multiply-add (fused where the set has it), then one fixed tree
/// ((i, i+8), (i, i+4), (i, i+2), (i, i+1)). So a result depends on its own row and token only, never
/// on how many others are in the call.
struct KernelTable {
  std::string_view isa;  ///< "portable", "avx2", "avx_vnni", "avx512", "neon", "neon_i8mm"
  bool (*supported)() noexcept;

  /// out[cols] = row `row` of w as float32.
  void (*dequantize_row)(const Matrix& w, int64_t row, float* out) noexcept;

  /// y[t * y_stride + r] = sum_k w[r, k] * x[t * x_stride + k] for t in [0, n_tokens), r in [row_begin, row_end).
  void (*matmul)(const Matrix& w, int64_t row_begin, int64_t row_end, const float* x,
                 int64_t x_stride, int64_t n_tokens, float* y, int64_t y_stride) noexcept;

  /// Columns [begin, end) of an Int8Row{cols} from x[0, end - begin). row is a multiple of 4; begin is a multiple of 32, end too unless it
  /// is cols. A group whose largest magnitude exceeds `clip` times its mean magnitude has clip * mean / 127 as its scale and high parts
  /// where that is too little; clip is at least 1, or 0: no group has. A group that holds an infinity or NaN makes every result it
  /// takes part in NaN; one smaller than 2^-100 is zero.
  void (*quantize)(const float* x, int64_t begin, int64_t end, int64_t cols, float clip,
                   std::byte* row) noexcept;

  /// The same product from 8-bit activations: x[t] is an Int8Row{w.cols}. w: has_int8(w.format). Per group (32 columns, or 16 where
  /// a format's scales are that fine): the integers' exact dot product d, then sum = scale_w scale_x d + sum, then, where the
  /// format has an offset, sum = bias_w (scaled sum of x) + sum; groups ascending in 16 partial sums by group mod 16, then the tree.
  /// scratch: Int8Row{w.cols}.scratch_bytes(), at a multiple of 64.
  void (*matmul_int8)(const Matrix& w, int64_t row_begin, int64_t row_end,
                      const std::byte* const* x, int64_t n_tokens, float* y, int64_t y_stride,
                      std::byte* scratch) noexcept;

  /// y = x / sqrt(mean(x^2) + eps) * (weight + weight_offset), n elements; weight may be null (all ones). y may be x.
  void (*rms_norm)(const float* x, const float* weight, float weight_offset, int64_t n, float eps,
                   float* y) noexcept;

  /// y = (x - mean) / sqrt(var + eps) * weight + bias; weight and bias may be null. y may be x.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, int64_t n, float eps,
                     float* y) noexcept;

  /// Rotates the first 2 * n_pairs elements of a head in place. cos, sin: [n_pairs].
  /// interleaved: pairs are (2i, 2i + 1), else (i, i + n_pairs) (GPT-NeoX order).
  void (*rope)(float* head, const float* cos, const float* sin, int64_t n_pairs,
               bool interleaved) noexcept;

  /// y = act(gate) * up, n elements. swiglu_clipped is gpt-oss's: gate = min(gate, limit), up = clamp(up, -limit, limit),
  /// y = gate * sigmoid(alpha * gate) * (up + 1) with alpha 1.702. y may be gate or up.
  void (*gated)(Activation act, float limit, const float* gate, const float* up, int64_t n,
                float* y) noexcept;

  /// y = act(x), n elements; not for swiglu_clipped, which has two inputs. y may be x.
  void (*activate)(Activation act, const float* x, int64_t n, float* y) noexcept;

  /// One block's part of softmax attention, for each query: scores, their maximum m, p = exp(s - m), their
  /// sum (16 partial sums by position mod 16) and sum_j p_j v_j (j ascending).
  void (*attend)(const AttendTask& task) noexcept;

  /// state = state and part, by the online-softmax rule (Milakov & Gimelshein 2018, arXiv:1805.02867).
  /// state starts as a part of no position: maximum -infinity, the rest zeros. The canonical order joins
  /// one block after another, ascending, blocks that show nothing left out or not.
  void (*join_part)(const float* part, int32_t head_dim, float* state) noexcept;

  /// out[head_dim] = the state's values / its sum, zeros when it has no position. sink: a logit that takes part
  /// in the softmax, as the last, and has no value; or null.
  void (*finish_part)(const float* state, const float* sink, int32_t head_dim, float* out) noexcept;

  /// dst[n] of `type` = src[n] (round to nearest even).
  void (*store_kv)(const float* src, int64_t n, KvType type, void* dst) noexcept;

  /// y += scale * x, n elements (fused where the set has it).
  void (*add_scaled)(const float* x, float scale, int64_t n, float* y) noexcept;

  /// y += a * b, n elements (fused where the set has it).
  void (*add_product)(const float* a, const float* b, int64_t n, float* y) noexcept;

  void (*state_step)(const StateStep& step) noexcept;

  void (*code_kv)(const CodeTask& task) noexcept;

  /// attend() over what code_kv() wrote, `task.k`; each query sees all of it, `visible`, `v` and `type` are not looked at.
  /// A score is the dot product of the codes and q times their scales, and that of q and the mids; a value's weight is p
  /// times its scale. Codes of 4 bits meet these rounded to 8 bits, 32 channels (positions) with one unit. Rotated
  /// values are rotated back.
  void (*attend_coded)(const AttendTask& task) noexcept;
};

/// The best set this processor has, or the one that $SLUICE_ISA names. Chosen at first use.
/// Throws Error(bad_request) when $SLUICE_ISA names a set that is unknown or not supported here.
const KernelTable& kernels();

/// All sets in this build, best first; "portable" is last.
struct KernelTables {
  const KernelTable* const* begin;
  const KernelTable* const* end;
};
KernelTables all_kernels();

}  // namespace sluice::kernels
