#pragma once

#include <cmath>
#include <vector>

#include "sluice/residency/experts/policy.h"

namespace sluice::residency {

/// Where a pass over the layers is.
struct LayerClock {
  int n_layers = 1;
  int layer = 0;
  int64_t token = 0;
  int64_t use = 0;  ///< experts asked for so far

  /// Layers until `other` runs again, 0 to n_layers - 1: n_layers - 1 for the one that runs now.
  int distance(int other) const { return (other - layer - 1 + n_layers) % n_layers; }
  /// The same as a part of a token, below 1.
  double share(int other) const { return static_cast<double>(distance(other)) / n_layers; }
};

/// What is remembered of an expert, in memory or not.
struct ExpertHistory {
  double frequency = 0;
  int64_t token = 0;  ///< of the last use
};

// A score turns an expert's history into a key that only a use changes, so that time's passing reorders
// nothing; now() then adds what depends on the layer. The lowest is evicted.

/// LRU.
struct Recency {
  static double key(ExpertHistory&, const LayerClock& clock) {
    return static_cast<double>(clock.use);
  }
  static double now(double key, int, const LayerClock&) { return key; }
};

/// LFU where a use counts half as much every kHalfLife tokens (LRFU, Lee et al. 2001). In logarithms the
/// common decay is a term of the clock alone, so it drops out of the order. Of two experts used alike, the
/// one whose layer runs sooner stays: by kLayerBias halvings for a whole token.
struct DecayedFrequency {
  static constexpr double kHalfLife = 16;
  static constexpr double kLayerBias = 2;
  static double key(ExpertHistory& history, const LayerClock& clock) {
    const auto age = static_cast<double>(clock.token - history.token);
    // At most one use per token: a prefetch and the demand that follows it are one.
    if (age > 0) history.frequency = history.frequency * std::exp2(-age / kHalfLife) + 1;
    return std::log2(history.frequency) + static_cast<double>(clock.token) / kHalfLife;
  }
  static double now(double key, int layer, const LayerClock& clock) {
    return key - kLayerBias * clock.share(layer);
  }
};

/// LCP as MLX-Flash has it: uses * 0.25^(tokens since the last one / 128), here with a layer bias that
/// favours layers that run soon.
struct LeastCachePriority {
  static constexpr double kLayerBias = 0.3;
  static double key(ExpertHistory& history, const LayerClock& clock) {
    history.frequency += 1;
    return std::log2(history.frequency) + 2 * static_cast<double>(clock.token) / 128;
  }
  static double now(double key, int layer, const LayerClock& clock) {
    return key - kLayerBias * clock.share(layer);
  }
};

/// Oldest token first; among equals the layer that runs last (after SpecMD's Least-Stale, arXiv:2602.03921).
struct LeastStale {
  static double key(ExpertHistory&, const LayerClock& clock) {
    return static_cast<double>(clock.token);
  }
  static double now(double key, int layer, const LayerClock& clock) {
    return key - clock.share(layer);
  }
};

/// Evicts the lowest score. Each layer has a heap of its slots by key; an eviction compares the layers'
/// lowest, so a use costs O(log slots) and an eviction O(layers + log slots).
template <typename Score>
class ScoredPolicy : public EvictionPolicy {
 public:
  explicit ScoredPolicy(const PoolShape& shape)
      : n_experts_(shape.n_experts),
        heaps_(static_cast<size_t>(shape.n_layers)),
        entries_(static_cast<size_t>(shape.n_slots)),
        history_(static_cast<size_t>(shape.n_layers) * static_cast<size_t>(shape.n_experts)) {
    clock_.n_layers = shape.n_layers;
    clock_.layer = shape.n_layers - 1;
  }

  void enter_layer(int layer) override {
    if (layer <= clock_.layer) ++clock_.token;
    clock_.layer = layer;
  }

  void on_hit(int slot) override {
    Entry& entry = entry_of(slot);
    entry.value = next_key(entry.key);
    sink(heap_of(entry.key), entry.position);  // keys only grow
  }

  void on_insert(int slot, ExpertKey key) override { insert(slot, key, next_key(key)); }

  void on_prefetch(int slot, ExpertKey key) override {
    ExpertHistory unused = history_of(key);
    insert(slot, key, Score::key(unused, clock_));
  }

  int evict(std::span<const int> pins) override {
    int victim = -1;
    double lowest = 0;
    for (int layer = 0; layer < clock_.n_layers; ++layer) {
      const int slot = lowest_unpinned(heaps_[static_cast<size_t>(layer)], pins);
      if (slot < 0) continue;
      const double score = Score::now(entry_of(slot).value, layer, clock_);
      if (victim < 0 || score < lowest) {
        victim = slot;
        lowest = score;
      }
    }
    if (victim >= 0) remove(victim);
    return victim;
  }

  void remove(int slot) override {
    const Entry& entry = entry_of(slot);
    Heap& heap = heap_of(entry.key);
    const size_t hole = entry.position;
    place(heap, hole, heap.back());
    heap.pop_back();
    if (hole == heap.size()) return;
    sink(heap, hole);
    rise(heap, hole);
  }

 private:
  struct Entry {
    ExpertKey key;
    double value = 0;
    size_t position = 0;  // in its layer's heap
  };
  using Heap = std::vector<int>;  // slots, the lowest value first

  Entry& entry_of(int slot) { return entries_[static_cast<size_t>(slot)]; }
  Heap& heap_of(ExpertKey key) { return heaps_[static_cast<size_t>(key.layer)]; }
  double value(const Heap& heap, size_t i) { return entry_of(heap[i]).value; }

  ExpertHistory& history_of(ExpertKey key) {
    return history_[static_cast<size_t>(key.layer) * static_cast<size_t>(n_experts_) +
                    static_cast<size_t>(key.expert)];
  }

  void insert(int slot, ExpertKey key, double value) {
    Entry& entry = entry_of(slot);
    entry.key = key;
    entry.value = value;
    Heap& heap = heap_of(key);
    heap.push_back(slot);
    entry.position = heap.size() - 1;
    rise(heap, entry.position);
  }

  double next_key(ExpertKey key) {
    ++clock_.use;
    ExpertHistory& history = history_of(key);
    const double next = Score::key(history, clock_);
    history.token = clock_.token;
    return next;
  }

  int lowest_unpinned(const Heap& heap, std::span<const int> pins) {
    if (heap.empty()) return -1;
    if (pins[static_cast<size_t>(heap[0])] == 0) return heap[0];
    int lowest = -1;  // only the running layer has pins: a scan of its slots is rare and short
    for (const int slot : heap) {
      if (pins[static_cast<size_t>(slot)] == 0 &&
          (lowest < 0 || entry_of(slot).value < entry_of(lowest).value)) {
        lowest = slot;
      }
    }
    return lowest;
  }

  void place(Heap& heap, size_t at, int slot) {
    heap[at] = slot;
    entry_of(slot).position = at;
  }

  void exchange(Heap& heap, size_t a, size_t b) {
    const int first = heap[a];
    place(heap, a, heap[b]);
    place(heap, b, first);
  }

  void rise(Heap& heap, size_t at) {
    while (at > 0 && value(heap, at) < value(heap, (at - 1) / 2)) {
      exchange(heap, at, (at - 1) / 2);
      at = (at - 1) / 2;
    }
  }

  void sink(Heap& heap, size_t at) {
    for (;;) {
      size_t least = at;
      for (const size_t child : {2 * at + 1, 2 * at + 2}) {
        if (child < heap.size() && value(heap, child) < value(heap, least)) least = child;
      }
      if (least == at) return;
      exchange(heap, at, least);
      at = least;
    }
  }

  int n_experts_;
  LayerClock clock_;
  std::vector<Heap> heaps_;  // per layer
  std::vector<Entry> entries_;
  std::vector<ExpertHistory> history_;
};

}  // namespace sluice::residency
