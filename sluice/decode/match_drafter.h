#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "sluice/base/bytes.h"
#include "sluice/decode/drafter.h"

namespace sluice::decode {

/// Guesses that text goes on as it did where the same tokens stood before (prompt lookup, Saxena 2023; the places are
/// found as compressors of the LZ77 family find them). Of the places whose tokens before agree longest, the next token is voted
/// for; from there on the draft copies, also from itself. How often guesses after so long a match were right is counted for every
/// token that comes, whether it was drafted or not.
class MatchDrafter : public Drafter {
 public:
  static constexpr Bytes kTokenBytes{64};  ///< most that a token of the timeline takes

  /// hint: what the answer may be like, which no token of the timeline need repeat.
  explicit MatchDrafter(std::span<const int32_t> hint = {});

  Draft draft(std::span<const int32_t> timeline, int64_t most) override;

 private:
  static constexpr int32_t kNowhere = -1;
  static constexpr int64_t kLongest = 16;  // matches that are told apart

  /// Where each n tokens in a row ended, the last place first.
  struct Chain {
    int64_t n;
    std::vector<int32_t> heads, before;  // by hash; by place
  };
  struct Match {
    int64_t place = 0, length = 0;  // text_[place] is what followed
    float share = 1;                // of the votes for its token
  };
  struct Counter {
    float right = 0, all = 0;
  };
  /// What was guessed when the text had `size` tokens.
  struct Guess {
    size_t size;
    int64_t length;
    std::vector<int32_t> tokens;
  };

  size_t slot(const Chain& chain, size_t end) const;
  void append(int32_t token);
  void grow(Chain& chain);
  void count();
  std::vector<Match> matches(const Chain& chain) const;
  std::optional<Match> best_match() const;
  float assumed_here(int64_t length) const;
  float chance(int64_t length) const;

  std::vector<int32_t> text_;  // the hint, a gap, the timeline
  size_t timeline_begin_ = 0;
  std::array<Chain, 3> chains_{{{3, {}, {}}, {2, {}, {}}, {1, {}, {}}}};
  std::array<Counter, kLongest + 1> counters_;  // by the length of the match
  Counter text_guesses_, assumed_guesses_;      // of all lengths: as they were, and as assumed
  std::optional<Guess> guess_;
};

}  // namespace sluice::decode
