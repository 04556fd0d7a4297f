#include "sluice/decode/pooler.h"

#include <algorithm>
#include <cmath>

namespace sluice::decode {
namespace {

template <typename Number>
std::vector<float> of_length_one(std::span<const Number> x) {
  double squares = 0;
  for (const Number value : x) squares += static_cast<double>(value) * static_cast<double>(value);
  const double factor = squares > 0 ? 1 / std::sqrt(squares) : 0;
  std::vector<float> y;
  y.reserve(x.size());
  for (const Number value : x) y.push_back(static_cast<float>(static_cast<double>(value) * factor));
  return y;
}

}  // namespace

int64_t Pooler::first_wanted(int64_t n_tokens) const {
  return pooling_ == models::Pooling::last ? n_tokens - 1 : 0;
}

void Pooler::add(std::span<const float> hidden) {
  if (sum_.empty()) {
    sum_.assign(hidden.begin(), hidden.end());
  } else {
    for (size_t i = 0; i < hidden.size(); ++i) sum_[i] += static_cast<double>(hidden[i]);
  }
}

std::vector<float> Pooler::vector() const { return of_length_one(std::span(sum_)); }

std::vector<float> shortened(std::span<const float> vector, int64_t n_dimensions) {
  return of_length_one(vector.first(static_cast<size_t>(n_dimensions)));
}

}  // namespace sluice::decode
