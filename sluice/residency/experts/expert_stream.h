#pragma once

#include <functional>
#include <span>
#include <vector>

#include "sluice/residency/experts/slots.h"
#include "sluice/residency/weight.h"

namespace sluice::residency {

/// A layer's experts in the order in which they come into memory: those that are there first, the others as
/// they are read, while the earlier ones compute.
class ExpertStream {
 public:
  /// All are in memory, where `acquire` finds them.
  using Acquire = std::function<kernels::Matrix(const Weight&)>;
  ExpertStream(std::span<const int> experts, Acquire acquire);

  /// Begins to read what is missing.
  ExpertStream(SlotPool& pool, int layer, std::span<const int> experts, Use use);

  /// The next experts that are in memory, waiting for one at least; none when all were given. Ends what
  /// acquire() gave before. Throws Error(io) when one could not be read.
  std::span<const int> next();

  /// Whether next() would wait for the disk.
  bool would_wait() const;

  /// A matrix of `expert`, one of those that next() gave last. Any thread may ask.
  kernels::Matrix acquire(int expert, const Weight& weight) const;

 private:
  struct Waiting {
    int expert;
    ExpertLease lease;
  };
  void lease_more();
  void await(Waiting& waiting);

  std::vector<int> left_;   // not leased yet
  std::vector<int> given_;  // by next()
  Acquire acquire_;
  SlotPool* pool_ = nullptr;  // null: all are in memory
  int layer_ = 0;
  Use use_ = Use::keep;
  std::vector<Waiting> waiting_;  // leased, not given yet
  std::vector<Waiting> ready_;    // given
};

}  // namespace sluice::residency
