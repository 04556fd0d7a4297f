#pragma once

#include <memory>
#include <vector>

#include "sluice/ops/attention.h"
#include "sluice/residency/kv_pool.h"

namespace sluice::nn {

/// How a model's keys and values are laid out in blocks. Layers with the same sliding window share
/// blocks, since they drop them together.
struct KvLayout {
  struct Layer {
    int64_t n_kv_heads = 0;
    int64_t head_dim = 0;
    int64_t window = 0;  ///< 0: unbounded
  };
  struct Group {
    int64_t window = 0;
    Bytes block_bytes;
  };

  KvLayout(const std::vector<Layer>& layers, kernels::KvType type);

  std::vector<Group> groups;
  std::vector<size_t> group_of_layer;
  std::vector<ops::KvLayerLayout> layers;
};

/// The keys and values of one sequence: blocks of 256 tokens at absolute positions. Only the engine's
/// thread touches it; tasks that read or write blocks hold references to them.
///
/// A block may be written by the one cache whose id it carries. snapshot() gives both sides new ids, so
/// whoever next writes into a shared, partly filled block writes into a copy of it; full blocks are
/// never written again. So snapshot and restore cost O(1), and no branch can change another.
class KvCache {
 public:
  KvCache(std::shared_ptr<const KvLayout> layout, residency::KvPool& pool);

  int64_t length() const { return length_; }

  /// A copy that shares all blocks. Restore by assigning it back.
  KvCache snapshot();

  /// Whether trim(length) would keep all that later tokens need to see: a sliding window may have
  /// dropped blocks that become visible again.
  bool can_trim(int64_t length) const;
  /// Forgets the tokens from `length` on. Throws Error(internal) unless can_trim(length).
  void trim(int64_t length);

  /// Makes room for n_tokens after length() and returns, per group, where this step's tokens go; rows
  /// [first_row, first_row + n_tokens) of the packed step are this sequence's.
  std::vector<ops::SequenceKv> append(int64_t first_row, int64_t n_tokens);

 private:
  using Table = std::vector<std::vector<std::shared_ptr<residency::KvBlock>>>;  // [group][block]

  std::shared_ptr<const KvLayout> layout_;
  residency::KvPool* pool_;
  std::shared_ptr<Table> table_;  // shared by snapshots until one of them appends
  int64_t length_ = 0;
  uint64_t id_ = 0;
};

}  // namespace sluice::nn
