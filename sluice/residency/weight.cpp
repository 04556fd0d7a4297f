#include "sluice/residency/weight.h"

#include <cassert>

namespace sluice::residency {

Weight Weight::select_rows(int64_t begin, int64_t count, int64_t step) const {
  assert(begin >= 0 && count >= 1 && step >= 1 && begin + (count - 1) * step < rows());
  Weight part = *this;
  if (kernels::is_packed(matrix)) {
    kernels::select_packed_rows(part.matrix, begin, count, step);
    return part;
  }
  const auto skipped = static_cast<uint64_t>(begin);
  part.data.offset += skipped * static_cast<uint64_t>(matrix.row_bytes);
  part.scales.offset += skipped * static_cast<uint64_t>(matrix.scale_row_bytes);
  part.biases.offset += skipped * static_cast<uint64_t>(matrix.scale_row_bytes);
  part.matrix.rows = count;
  part.matrix.row_bytes *= step;
  part.matrix.scale_row_bytes *= step;
  return part;
}

}  // namespace sluice::residency
