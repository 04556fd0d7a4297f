#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sluice/models/pooling.h"

namespace sluice::decode {

/// Makes one vector of a text's states. They are added up in the order of the tokens, in double: the vector is the same
/// bit for bit however the text was cut into steps.
class Pooler {
 public:
  explicit Pooler(models::Pooling pooling) : pooling_(pooling) {}

  /// The first token of an n_tokens long text whose state is wanted.
  int64_t first_wanted(int64_t n_tokens) const;
  /// hidden: [hidden_size], of the token that follows the one before.
  void add(std::span<const float> hidden);
  void reset() { sum_.clear(); }

  /// Of length 1, or zeros where that cannot be: [hidden_size].
  std::vector<float> vector() const;

 private:
  models::Pooling pooling_;
  std::vector<double> sum_;  // of what was wanted: a mean's direction is its sum's
};

/// The first n_dimensions of a vector, of length 1 again (Kusupati et al. 2022, arXiv:2205.13147).
std::vector<float> shortened(std::span<const float> vector, int64_t n_dimensions);

}  // namespace sluice::decode
