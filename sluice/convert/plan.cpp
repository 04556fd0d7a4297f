#include "sluice/convert/plan.h"

namespace sluice::convert {

int64_t source_row(const Product& product, int64_t row) {
  const Change& change = product.change;
  if (change.rows == Change::Rows::kept) return row;
  const int64_t head_dim = product.target.rows() / change.n_heads, half = head_dim / 2;
  const int64_t begin = row / head_dim * head_dim, i = row % head_dim;
  return begin +
         (change.rows == Change::Rows::to_pairs ? i % 2 * half + i / 2 : i % half * 2 + i / half);
}

uint64_t Plan::bytes() const {
  uint64_t all = 0;
  for (const PlannedFile& file : files) all += file.bytes;
  return all;
}

}  // namespace sluice::convert
