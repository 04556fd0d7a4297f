#pragma once

#include <map>
#include <memory>

#include "sluice/decode/prefix_index.h"
#include "sluice/engine/disk_cache/disk_prefixes.h"
#include "sluice/engine/sequence.h"

namespace sluice::engine {

/// What is being read from disk for sequences that wait. Belongs to the engine's thread; all that it is asked of must
/// be forgotten before it ends.
class PendingReads {
 public:
  /// disk: null where there is none.
  PendingReads(DiskPrefixes* disk, decode::PrefixIndex& prefixes)
      : disk_(disk), prefixes_(prefixes) {}

  /// Where more of a sequence's prompt is on disk than in memory, that is read from now on. Each is looked up once.
  bool begin(const Sequence& sequence, double prompt_token_seconds);
  bool is_reading(const Sequence& sequence) const;
  template <typename Wanted>
  bool any_of(const Wanted& wanted) const {
    for (const auto& [sequence, read] : reads_) {
      if (read != nullptr && wanted(*sequence)) return true;
    }
    return false;
  }

  /// What was read is in memory, as if it had been computed.
  void take();
  void forget(const Sequence& sequence);
  /// For the memory of those that compute. False when nothing was given up.
  bool give_up();

 private:
  DiskPrefixes* disk_;
  decode::PrefixIndex& prefixes_;
  std::map<const Sequence*, std::shared_ptr<PrefixRead>>
      reads_;  // of those that were looked up: or null
};

}  // namespace sluice::engine
