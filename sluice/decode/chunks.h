#pragma once

#include <cstdint>
#include <vector>

namespace sluice::decode {

/// Tokens of a prompt that one step appends: [begin, begin + n_tokens) of it. The last n_logits want their logits.
struct Chunk {
  int64_t begin = 0;
  int64_t n_tokens = 0;
  int64_t n_logits = 0;
  bool operator==(const Chunk&) const = default;
};

/// How a prompt is cut. None of it changes a bit of the result.
struct ChunkLimits {
  int64_t tokens = 512;           ///< of a chunk
  int64_t logit_rows = 1;         ///< that one step may keep, at least 1
  int64_t tokens_of_a_group = 0;  ///< so many pass a layer before the next one runs: 0: a chunk's
  int64_t last =
      0;  ///< so many at the end are one chunk, larger than others if need be; 0: as they come
};

/// The chunk that begins at `begin` of a prompt of n_tokens, whose logits are wanted from first_wanted on.
Chunk next_chunk(int64_t begin, int64_t n_tokens, int64_t first_wanted, const ChunkLimits& limits);

/// The chunks from `begin` on that are computed together, layer by layer, so that streamed weights are read once for
/// all of them: at least one. Only the last may want logits.
std::vector<Chunk> group_of_chunks(int64_t begin, int64_t n_tokens, int64_t first_wanted,
                                   const ChunkLimits& limits);

}  // namespace sluice::decode
