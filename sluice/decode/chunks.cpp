#include "sluice/decode/chunks.h"

#include <algorithm>

namespace sluice::decode {

Chunk next_chunk(int64_t begin, int64_t n_tokens, int64_t first_wanted, const ChunkLimits& limits) {
  const int64_t unwanted = std::max<int64_t>(0, first_wanted - begin);
  int64_t n = std::min(limits.tokens, n_tokens - begin);
  if (const int64_t last = n_tokens - limits.last; limits.last > 0)
    n = begin < last ? std::min(n, last - begin) : n_tokens - begin;
  if (n > unwanted) n = std::min(n, unwanted + limits.logit_rows);
  return {begin, n, std::max<int64_t>(0, n - unwanted)};
}

std::vector<Chunk> group_of_chunks(int64_t begin, int64_t n_tokens, int64_t first_wanted,
                                   const ChunkLimits& limits) {
  std::vector<Chunk> group;
  int64_t end = begin;
  do {
    group.push_back(next_chunk(end, n_tokens, first_wanted, limits));
    end += group.back().n_tokens;
  } while (group.back().n_logits == 0 && end < n_tokens &&
           end - begin + limits.tokens <= limits.tokens_of_a_group);
  return group;
}

}  // namespace sluice::decode
