#include "sluice/ops/ngrams.h"

#include <algorithm>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/ops/kernel_op.h"
#include "sluice/ops/states.h"

namespace sluice::ops {
namespace {

/// The number, modulo n_rows, of the n tokens of which `last` is one and `before` has the others, the nearest first.
int32_t ngram_row(const NgramTable& table, int64_t vocab_size, int64_t last, const float* before) {
  int64_t id = last % table.n_rows, power = 1;
  for (int64_t i = 0; i + 1 < table.n; ++i) {
    power = power * (vocab_size % table.n_rows) % table.n_rows;
    id = (id + static_cast<int64_t>(before[i]) * power) % table.n_rows;
  }
  return static_cast<int32_t>(id);
}

}  // namespace

std::vector<mx::array> ngram_rows(const Context& context, const mx::array& tokens,
                                  int64_t vocab_size, const std::vector<NgramTable>& tables,
                                  const KvLayerLayout& layout, KvView states) {
  int64_t longest = 0;
  for (const NgramTable& table : tables) longest = std::max(longest, table.n - 1);
  const std::vector<OutputSpec> outputs(tables.size(), {tokens.shape(), mx::int32});
  return kernel_op(
      context, "ngram_rows", {tokens}, outputs,
      [&context, vocab_size, tables, layout, longest, n = static_cast<int64_t>(tokens.size()),
       states = std::move(states)](const Buffers& b) {
        for (int64_t t = 0; t < n; ++t) {
          if (b.ids(0)[t] >= 0 && b.ids(0)[t] < vocab_size) continue;
          fail(ErrorKind::bad_request, "token {} is not in the vocabulary of {}", b.ids(0)[t],
               vocab_size);
        }
        for_each_state(context, *states, layout, {longest, longest},
                       [&](StateToken token, int64_t, float* before) {
                         const int64_t id = b.ids(0)[token.row];
                         for (size_t i = 0; i < tables.size(); ++i)
                           static_cast<int32_t*>(b.outputs[i])[token.row] =
                               ngram_row(tables[i], vocab_size, id, before);
                         std::copy_backward(before, before + longest - 1, before + longest);
                         before[0] = static_cast<float>(id);
                       });
      });
}

}  // namespace sluice::ops
