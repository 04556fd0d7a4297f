#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sluice/nn/kv_cache.h"

namespace sluice::engine {

/// Which blocks there are: [stretch][group].
using Presence = std::vector<std::vector<bool>>;

/// Blocks to read so that `n_stretches` of a prompt can be gone on from.
struct RestorePlan {
  struct Block {
    size_t stretch = 0, group = 0;
  };
  int64_t n_stretches = 0;
  std::vector<Block> blocks;
  Bytes bytes;
};

/// The longest beginning, of more than held_length tokens, whose blocks are held in memory or stored on disk, as far as
/// windows still see them; of those stored only what is not held is read. nullopt: there is none that is longer.
std::optional<RestorePlan> plan_restore(const nn::KvLayout& layout, const Presence& held,
                                        const Presence& stored, int64_t held_length);

/// What was measured; 0: not yet.
struct RestoreRates {
  double token_seconds = 0;     ///< computing a prompt's token
  double bytes_per_second = 0;  ///< reading blocks, checked
};

/// Whether reading is faster than computing; what is not known yet is found out by reading.
bool is_faster_to_read(const RestoreRates& rates, int64_t tokens, Bytes bytes);

}  // namespace sluice::engine
