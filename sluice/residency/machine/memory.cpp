#include "sluice/residency/machine/memory.h"

#include <algorithm>
#include <cstdint>

namespace sluice::residency {

Bytes automatic_budget(const MemoryState& state) {
  const uint64_t ours = state.available.count + state.resident.count;
  const uint64_t headroom = std::max<uint64_t>(ours / 10, 500'000'000);
  return {std::max(ours / 2, ours - std::min(ours, headroom))};
}

}  // namespace sluice::residency
