#pragma once

#include <vector>

#include "sluice/base/bytes.h"

namespace sluice::residency {

/// One way to divide the parts of stages (layers, head blocks) that run in a cycle: some stay in memory,
/// the rest pass through two slabs, each as large as the most that is streamed for one stage.
struct DensePlacement {
  std::vector<std::vector<bool>> streamed;  ///< [stage][part]
  Bytes resident;
  Bytes streamed_bytes;  ///< per cycle
  Bytes slab;

  Bytes memory() const { return resident + slab + slab; }
};

/// The placement that reads least per cycle within `memory`; of equal ones the one that takes least. It
/// is chosen from a fixed list, so more memory never reads more. When nothing fits, the placement that
/// needs least memory: the caller compares memory().
DensePlacement place_dense(const std::vector<std::vector<Bytes>>& stages, Bytes memory);

}  // namespace sluice::residency
