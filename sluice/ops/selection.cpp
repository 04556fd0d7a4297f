#include "sluice/ops/selection.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "sluice/ops/kernel_op.h"
#include "sluice/ops/kv_rows.h"

namespace sluice::ops {
namespace {

using kernels::kKvBlockTokens;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Index keys are a matrix: their products with queries are a matmul.
kernels::Matrix keys_as_matrix(const LayerRows& rows, const residency::KvBlock& block, int64_t n) {
  kernels::Matrix keys;
  switch (rows.layout.type) {
    case kernels::KvType::f32:
      keys.format = kernels::Format::f32;
      break;
    case kernels::KvType::f16:
      keys.format = kernels::Format::f16;
      break;
    case kernels::KvType::bf16:
      keys.format = kernels::Format::bf16;
      break;
  }
  keys.rows = n;
  keys.cols = rows.layout.head_dim;
  keys.data = rows.keys(block, 0, 0);
  keys.row_bytes = rows.row_bytes();
  return keys;
}

/// The k best by value, of equal ones the earlier, ascending.
void best_runs(const std::vector<float>& values, int64_t k, int32_t* out) {
  thread_local std::vector<int32_t> order;
  order.resize(values.size());
  std::iota(order.begin(), order.end(), 0);
  const auto better = [&](int32_t a, int32_t b) {
    const float x = values[static_cast<size_t>(a)], y = values[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::nth_element(order.begin(), order.begin() + k - 1, order.end(), better);
  std::sort(order.begin(), order.begin() + k);
  std::copy_n(order.begin(), k, out);
}

/// One evaluation of the primitive.
class SelectCall {
 public:
  SelectCall(const Context& context, const SelectSpec& spec, const KvLayerLayout& layout,
             bool rotates, int64_t n_rows, int64_t n_pairs,
             const std::optional<SelectionShape>& within, const Buffers& b)
      : context_(context),
        spec_(spec),
        rows_{layout},
        rotates_(rotates),
        n_rows_(n_rows),
        n_pairs_(n_pairs),
        within_(within),
        buffers_(b) {}

  void run(const std::vector<SequenceKv>& sequences) {
    auto* const out = static_cast<int32_t*>(buffers_.outputs[0]);
    std::fill_n(out, n_rows_ * spec_.shape.n_groups * spec_.shape.k, -1);
    for (const SequenceKv& sequence : sequences) {
      if (spec_.stores) {
        if (sequence.copy_from)
          copy_shared_rows(rows_, sequence, rows_.keys(*sequence.copy_from, 0, 0));
        store(sequence);
      }
      for (int64_t i = spec_.shape.n_dense(sequence); i < sequence.n_tokens; ++i)
        choose(sequence, i, out + (sequence.first_row + i) * spec_.shape.n_groups * spec_.shape.k);
    }
  }

 private:
  void transform(const HeadTransform& how, const float* in, int64_t row, float* out) const {
    const float* cos = rotates_ ? buffers_.input(spec_.summed ? 3 : 2) + row * n_pairs_ : nullptr;
    const float* sin = rotates_ ? cos + n_rows_ * n_pairs_ : nullptr;
    transform_head(context_.kernels, how, in, spec_.head_dim, cos, sin, rotates_ ? n_pairs_ : 0,
                   out);
  }

  void store(const SequenceKv& sequence) {
    key_.resize(static_cast<size_t>(spec_.head_dim));
    for (int64_t i = 0; i < sequence.n_tokens; ++i) {
      const int64_t row = sequence.first_row + i, position = sequence.position + i;
      const residency::KvBlock& block =
          *sequence.blocks[static_cast<size_t>(position / kKvBlockTokens)];
      transform(spec_.key, buffers_.input(1) + row * spec_.head_dim, row, key_.data());
      context_.kernels.store_kv(key_.data(), spec_.head_dim, rows_.layout.type,
                                rows_.keys(block, 0, position % kKvBlockTokens));
    }
  }

  /// Scores of a block's keys; of each group those of all blocks follow each other.
  void score(const residency::KvBlock& block, int64_t begin, int64_t n, int64_t n_keys,
             int64_t row) {
    thread_local std::vector<float> products;
    products.resize(static_cast<size_t>(spec_.n_heads * kKvBlockTokens));
    context_.kernels.matmul(keys_as_matrix(rows_, block, n), 0, n, queries_.data(), spec_.head_dim,
                            spec_.n_heads, products.data(), kKvBlockTokens);
    for (int64_t head = 0; head < spec_.n_heads; ++head) {
      const float* const mine = products.data() + head * kKvBlockTokens;
      float* const to = scores_.data() + (spec_.summed ? 0 : head * n_keys) + begin;
      if (!spec_.summed) {
        std::copy_n(mine, n, to);
        continue;
      }
      const float weight = buffers_.input(2)[row * spec_.n_heads + head];
      if (head == 0) std::fill_n(to, n, 0.0F);
      for (int64_t i = 0; i < n; ++i) to[i] += weight * std::max(0.0F, mine[i]);
    }
  }

  /// The runs of one token.
  void choose(const SequenceKv& sequence, int64_t token, int32_t* out) {
    const int64_t row = sequence.first_row + token;
    const int64_t n_keys = rows_.layout.rows_before(sequence.position + token + 1);
    queries_.resize(static_cast<size_t>(spec_.n_heads * spec_.head_dim));
    for (int64_t head = 0; head < spec_.n_heads; ++head) {
      transform(spec_.query, buffers_.input(0) + (row * spec_.n_heads + head) * spec_.head_dim, row,
                queries_.data() + head * spec_.head_dim);
    }
    scores_.resize(static_cast<size_t>(spec_.shape.n_groups * n_keys));
    context_.pool.parallel_for(
        rows_.layout.block_of(n_keys - 1) + 1, 1, [&](int64_t begin, int64_t end) {
          for (int64_t b = begin; b < end; ++b) {
            const int64_t first = rows_.layout.first_row(b);
            const int64_t n = std::min(rows_.layout.first_row(b + 1), n_keys) - first;
            if (n > 0) score(*sequence.blocks[static_cast<size_t>(b)], first, n, n_keys, row);
          }
        });
    if (within_) leave_out_others(row, n_keys);
    for (int64_t group = 0; group < spec_.shape.n_groups; ++group) {
      pool_runs(scores_.data() + group * n_keys, n_keys);
      best_runs(runs_, spec_.shape.k, out + group * spec_.shape.k);
    }
  }

  /// Keys that are not within.
  void leave_out_others(int64_t row, int64_t n_keys) {
    const int32_t* const runs =
        buffers_.ids(2 + (spec_.summed ? 1 : 0) + (rotates_ ? 1 : 0)) + row * within_->k;
    if (runs[0] < 0) return;  // all are
    float* const scores = scores_.data();
    int64_t next = 0;
    for (int64_t i = 0; i < within_->k; ++i) {
      const int64_t begin = runs[i] * within_->unit;
      std::fill(scores + next, scores + begin, -kInfinity);
      next = std::min(begin + within_->unit, n_keys);
    }
    std::fill(scores + next, scores + n_keys, -kInfinity);
  }

  /// The best score of each run; NaN is no score.
  void pool_runs(const float* scores, int64_t n_keys) {
    const int64_t unit = spec_.shape.unit, n_runs = (n_keys - 1) / unit + 1;
    runs_.assign(static_cast<size_t>(n_runs), -kInfinity);
    for (int64_t i = 0; i < n_keys; ++i) {
      float& best = runs_[static_cast<size_t>(i / unit)];
      if (scores[i] > best) best = scores[i];
    }
    const int64_t n_local = std::min(spec_.n_local, n_runs);
    std::fill_n(runs_.end() - n_local, n_local, kInfinity);
  }

  const Context& context_;
  const SelectSpec& spec_;
  const LayerRows rows_;
  bool rotates_;
  int64_t n_rows_, n_pairs_;
  std::optional<SelectionShape> within_;
  const Buffers& buffers_;
  std::vector<float> key_, queries_, scores_, runs_;
};

}  // namespace

Selection select_runs(const Context& context, const mx::array& q, const mx::array& k,
                      const std::optional<mx::array>& weights,
                      const std::optional<mx::array>& angles, const SelectSpec& spec,
                      const KvLayerLayout& layout, KvView kv,
                      const std::optional<Selection>& within) {
  std::vector<mx::array> inputs{q, k};
  if (weights) inputs.push_back(*weights);
  if (angles) inputs.push_back(*angles);
  if (within) inputs.push_back(within->runs);
  const auto shape_within = within ? std::optional(within->shape) : std::nullopt;
  const int n_rows = q.shape(0);
  const int64_t n_pairs = angles ? angles->shape(2) : 0;
  const mx::Shape shape{n_rows, static_cast<int>(spec.shape.n_groups * spec.shape.k)};
  return {
      spec.shape,
      kernel_op(
          context, "select_runs", std::move(inputs), {{shape, mx::int32}},
          [&context, spec, layout, n_rows, n_pairs, shape_within, rotates = angles.has_value(),
           kv = std::move(kv)](const Buffers& b) {
            SelectCall(context, spec, layout, rotates, n_rows, n_pairs, shape_within, b).run(*kv);
          })[0]};
}

}  // namespace sluice::ops
