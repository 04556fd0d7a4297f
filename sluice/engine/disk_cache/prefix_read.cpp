#include "sluice/engine/disk_cache/prefix_read.h"

namespace sluice::engine {

std::vector<decode::Sealed> PrefixRead::take() {
  for (Block& block : blocks_) {
    if (block.is_right) held_[block.stretch][block.group] = std::move(block.memory);
  }
  std::vector<decode::Sealed> sealed;
  for (size_t i = 0; i < held_.size(); ++i)
    sealed.push_back({static_cast<int64_t>(i), std::move(held_[i])});
  drop();
  return sealed;
}

void PrefixRead::drop() {
  held_.clear();
  blocks_.clear();
}

}  // namespace sluice::engine
