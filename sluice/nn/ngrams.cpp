#include "sluice/nn/ngrams.h"

#include <string>

#include "sluice/ops/elementwise.h"

namespace sluice::nn {

Ngrams::Ngrams(const Config& c, const Weights& w, Demands& demands)
    : vocab_size_(c.vocab_size), slot_(demands.kept.add_state(c.n_gram - 1)) {
  const Weights all = w["ngram_embeddings"];
  const int64_t n = c.n_ngram_tables * (c.n_gram - 1), width = c.hidden_size / n;
  for (int64_t i = 0; i < n; ++i) {
    const std::string name = std::to_string(i);
    shapes_.push_back({2 + i / c.n_ngram_tables, c.ngram_rows + 2 * i});
    tables_.push_back(all["embedders"][name].table(shapes_.back().n_rows, width));
    projections_.push_back(linear(all["post_projs"][name], width, c.hidden_size));
  }
  demands.add_rows(width + n, c.hidden_size);
}

mx::array Ngrams::begin(mx::array x, const Step& step) const {
  const ops::Context& context = step.context;
  const auto rows = ops::ngram_rows(context, step.tokens, vocab_size_, shapes_,
                                    step.layout.layers[slot_], step.states(slot_));
  for (size_t i = 0; i < rows.size(); ++i) {
    x = ops::project_onto(context, ops::embedding(context, rows[i], tables_[i], 1), projections_[i],
                          {}, x);
  }
  return ops::scale(context, x, 1.0F / static_cast<float>(1 + rows.size()));
}

}  // namespace sluice::nn
