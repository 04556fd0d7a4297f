#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/decode/stepper.h"
#include "sluice/nn/kv_cache.h"

namespace sluice::decode {

/// How many tokens two texts begin with alike.
int64_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b);

/// Keys and values of what was computed before, by the tokens they belong to, so that no prompt is processed twice: a
/// tree whose nodes are stretches of 256 tokens in sealed blocks, each with the ends of sequences that stop within the
/// next stretch. Tokens are compared, not their hashes. Blocks are shared with the sequences that use them. Of sliding
/// windows no more is kept than goes on from an end or a fork needs: between them a sequence is computed from the one
/// before; likewise of states, which only whole stretches and whole ends give. What is
/// not used by any is given up when the pool or `cap` wants it, the least recently used first. Within a partition
/// (a `salt`) alone: others' entries are neither found nor told of. Belongs to the engine's thread.
class PrefixIndex {
 public:
  /// cap: bytes of blocks that are held at most; 0: nothing is kept.
  PrefixIndex(std::shared_ptr<const nn::KvLayout> layout, residency::KvPool& pool, Bytes cap);
  ~PrefixIndex();
  PrefixIndex(const PrefixIndex&) = delete;
  PrefixIndex& operator=(const PrefixIndex&) = delete;

  /// A sequence that holds the longest prefix of `tokens` that there is, perhaps of length 0.
  nn::KvCache find(std::string_view salt, std::span<const int32_t> tokens);
  /// How much of `tokens` find() would give.
  int64_t length_of(std::string_view salt, std::span<const int32_t> tokens);

  /// What is there of each whole stretch that `tokens` begin with, whether all that windows need of it is or not.
  std::vector<nn::KvStretch> stretches(std::string_view salt, std::span<const int32_t> tokens);

  /// Keeps what a step sealed of a sequence whose first tokens these are.
  void add(std::string_view salt, std::span<const int32_t> tokens, std::span<const Sealed> sealed);
  /// Keeps the end of a sequence that holds `tokens`: what is in its last, partly filled stretch. The sequence
  /// may be appended to, and not be changed before its end. Nothing is kept of a state that is of more tokens.
  void add_end(std::string_view salt, std::span<const int32_t> tokens, const nn::KvCache& kv);
  /// Keeps all of a sequence that holds `tokens`, and is not used any more.
  void add_whole(std::string_view salt, std::span<const int32_t> tokens, const nn::KvCache& kv);

  /// Spills blocks that nobody uses until `wanted` bytes are back in the pool, those used longest ago first; states stay. Where
  /// the file has no place for them, it forgets what was spilled and used before. Returns what came back. While no step is in
  /// flight.
  Bytes spill(Bytes wanted);
  /// Gives up blocks that nobody uses until `wanted` bytes are back in the pool. False when there are none left.
  bool evict(Bytes wanted);
  /// Forgets a partition.
  void drop(std::string_view salt);

  /// Bytes of blocks in memory that nobody else uses: evict() can give back as many.
  Bytes unused() const;
  Bytes held() const { return held_; }  ///< blocks in the index, used by sequences or not
  int64_t n_stretches() const;

 private:
  struct Node;
  struct Place;
  struct Found;
  struct Victim;
  Place walk(std::string_view salt, std::span<const int32_t> tokens);
  Found search(std::string_view salt, std::span<const int32_t> tokens);
  void thin(Node& leaf);
  void release(nn::KvStretch& blocks, size_t group);
  void shrink_to(Bytes most);
  using Wanted = bool (*)(const std::shared_ptr<residency::KvBlock>&);
  std::vector<Victim> victims(Wanted wanted);
  bool forget_spilled(uint64_t before);
  uint64_t give_up(const Victim& victim);
  Bytes bytes_of(const nn::KvStretch& blocks) const;
  bool restorable(int64_t length, std::span<const nn::KvStretch> stretches) const;

  std::shared_ptr<const nn::KvLayout> layout_;
  residency::KvPool& pool_;
  Bytes cap_, held_;
  uint64_t clock_ = 0;
  std::map<std::string, std::unique_ptr<Node>, std::less<>> roots_;  // by salt
};

}  // namespace sluice::decode
