#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sluice/base/bytes.h"

namespace sluice::residency {

/// Which experts a token asked for when it was computed last, in every layer: it asks for most of them again (on tiny-moe's
/// held-out texts 0.73 to 0.93 of them), and is known before its first layer runs. Tokens share a bounded table, in which the one
/// that was computed last stays. One thread.
class TokenExperts {
 public:
  struct Shape {
    int n_layers = 0, n_experts_per_tok = 0;
    int64_t n_tokens = 0;  ///< that the table has room for, at least 1

    /// The most that fit into `most` bytes.
    static Shape within(Bytes most, int n_layers, int n_experts_per_tok, int64_t vocab_size);
    Bytes memory() const;
  };
  explicit TokenExperts(const Shape& shape);
  int n_layers() const { return shape_.n_layers; }

  /// A step of these tokens begins.
  void begin(std::span<const int32_t> tokens);
  /// The experts of a layer that they will probably ask for: first the best of each, then the second best.
  std::vector<int> guess(int layer) const;
  /// What the step's tokens do ask for, [n_tokens, n_experts_per_tok], the best first; negative: none. Of another number of tokens
  /// nothing is kept.
  void add(int layer, std::span<const int32_t> experts, int64_t n_tokens);

 private:
  static constexpr uint16_t kNone = 0xFFFF;
  size_t entry_of(int32_t token) const { return static_cast<size_t>(token) % tokens_.size(); }
  std::span<const uint16_t> ranks(size_t entry, int layer) const;

  Shape shape_;
  size_t n_ranks_;
  std::vector<int32_t> tokens_;    // by entry, -1: none
  std::vector<uint16_t> experts_;  // [entry, layer, rank]
  std::vector<int32_t> step_;      // its tokens
};

}  // namespace sluice::residency
