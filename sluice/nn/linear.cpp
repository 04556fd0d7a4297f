#include "sluice/nn/linear.h"

#include <bit>

#include "sluice/base/error.h"

namespace sluice::nn {

ops::Projection linear_part(const Weights& w, int64_t in, int64_t total, int64_t begin,
                            int64_t out) {
  return {w.matrix(total, in).select_rows(begin, out),
          part(w["bias"].optional_vector(total), begin, out), rotation(w, in)};
}

ops::Rotation rotation(const Weights& w, int64_t in) {
  const int64_t block = w.rotated_block();
  if (block == 0) return {};
  if (block < 1 || in % block != 0 || !std::has_single_bit(static_cast<uint64_t>(block)))
    fail(ErrorKind::bad_model,
         "{}: {} columns are rotated by {}, wanted a power of two that divides them", w.path(), in,
         block);
  const ops::Vector signs = w["signs"].vector(in);
  for (const float sign : *signs) {
    if (sign != 1 && sign != -1)
      fail(ErrorKind::bad_model, "{}.signs: has {}, wanted 1 or -1", w.path(), sign);
  }
  return {block, signs};
}

}  // namespace sluice::nn
