#include "sluice/nn/linear.h"

namespace sluice::nn {

ops::Projection linear_part(const Weights& w, int64_t in, int64_t total, int64_t begin,
                            int64_t out) {
  return {w.matrix(total, in).select_rows(begin, out),
          part(w["bias"].optional_vector(total), begin, out)};
}

}  // namespace sluice::nn
