#include "sluice/nn/linear.h"

namespace sluice::nn {

ops::Projection linear_part(const Weights& w, int64_t in, int64_t total, int64_t begin,
                            int64_t out) {
  ops::Vector bias;
  if (const ops::Vector whole = w.optional_vector("bias", total)) {
    bias = std::make_shared<const std::vector<float>>(whole->begin() + begin,
                                                      whole->begin() + begin + out);
  }
  return {w.matrix(total, in).select_rows(begin, out), std::move(bias)};
}

}  // namespace sluice::nn
