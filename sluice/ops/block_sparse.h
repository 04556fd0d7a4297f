#pragma once

#include <cstdint>

namespace sluice::ops {

/// Attention of which each head sees some blocks of tokens only (Phi-3-small, arXiv:2404.14219): the token's own, the
/// n_local - 1 before it, and block b where (b + head + 1) mod stride is 0. `block` divides 256; 0: all are seen.
struct BlockSparse {
  int64_t block = 0, n_local = 0, stride = 1;

  bool sees(int64_t head, int64_t of_query, int64_t of_key) const {
    return of_query - of_key < n_local || (of_key + head + 1) % stride == 0;
  }
};

}  // namespace sluice::ops
