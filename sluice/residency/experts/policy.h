#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace sluice::residency {

/// One expert of one layer.
struct ExpertKey {
  int layer = 0;
  int expert = 0;
  friend auto operator<=>(const ExpertKey&, const ExpertKey&) = default;
};

/// One pool of slots for the experts of all layers.
struct PoolShape {
  int n_layers = 0;
  int n_experts = 0;  ///< of a layer, the most any layer has
  int n_slots = 0;
};

/// Decides which slot is overwritten. Knows slots by number, 0 to n_slots - 1, and what is in them. Not
/// thread-safe: the pool calls it under its lock.
class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;

  /// A layer's experts are about to be asked for. Layers come in a cycle; each time round is a
  /// token, or a prompt that passes the layer in whatever number of chunks: once.
  virtual void enter_layer(int layer) = 0;

  virtual void on_hit(int slot) = 0;

  /// `slot`, which was free or has just been evicted, now holds `key`.
  virtual void on_insert(int slot, ExpertKey key) = 0;

  /// The same before anybody has used it: it stays as long as one that was used now, and counts no use.
  virtual void on_prefetch(int slot, ExpertKey key) = 0;

  /// Gives up a slot whose entry in `pins` is 0 and forgets what was in it; -1 when all are pinned or free.
  virtual int evict(std::span<const int> pins) = 0;

  /// Gives up this slot, which is not free, and forgets what was in it.
  virtual void remove(int slot) = 0;
};

enum class PolicyKind { lru, lfu, lcp, least_stale, s3_fifo };

/// As on the command line: "lru", "lfu", "lcp", "least-stale", "s3-fifo".
std::string_view to_string(PolicyKind kind);
/// Throws Error(bad_request) for another name.
PolicyKind parse_policy(std::string_view name);

/// What replay found best (docs/decisions/004-expert-cache-policy.md).
inline constexpr PolicyKind kDefaultPolicy = PolicyKind::lfu;

std::unique_ptr<EvictionPolicy> make_policy(PolicyKind kind, const PoolShape& shape);

std::unique_ptr<EvictionPolicy> make_s3_fifo(const PoolShape& shape);

}  // namespace sluice::residency
