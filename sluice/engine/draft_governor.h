#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace sluice::engine {

enum class Speculation : uint8_t {
  automatic,  ///< guesses are checked where that was measured to save time
  off,
  always,  ///< whatever is guessed is checked
};
std::string_view to_string(Speculation speculation);

/// Who guesses, where it is not left to what was measured.
enum class Guessers : uint8_t {
  all,      ///< what the text repeats and, with a draft model or a layer that drafts, one of these
  matches,  ///< what the text repeats
  layer,    ///< the model's own layer that drafts (MTP)
  model,    ///< the draft model
};

/// What --speculate asks for: "auto", "off", "always", or who guesses where that saves time: "match", "mtp", "draft".
struct Speculating {
  Speculation speculation = Speculation::automatic;
  Guessers guessers = Guessers::all;
};
/// Throws Error(bad_request) for another name.
Speculating speculating_named(std::string_view name);

/// Of guesses that take time to make.
struct DraftCost {
  double seconds = 0;   ///< of one guess; 0: nothing was measured
  double chance = 0.6;  ///< that it is right, where those before it are
};

/// Decides how many guessed tokens a step of decoding checks, from the chance that they are right and from what steps of so
/// many tokens were measured to take: the number with most tokens to be expected per second. Costs are not convex (kernels
/// change with the number of rows), so all numbers are looked at. Belongs to the engine's thread.
class DraftGovernor {
 public:
  static constexpr double kRowCost = 0.15;
  /// Guessed tokens that one step checks at most.
  static constexpr int64_t kMostGuesses = 15;

  /// row_cost: of the time of one token, what another one in the same step adds, until it is measured.
  explicit DraftGovernor(Speculation speculation, double row_cost = kRowCost)
      : speculation_(speculation), row_cost_(row_cost) {}

  /// A step of decoding alone computed n_rows tokens of n_sequences and gave n_tokens. More rows than sequences: it
  /// checked guesses, which took so long to make, or computed tokens again whose guesses were wrong.
  void add(int64_t n_sequences, int64_t n_rows, int64_t n_tokens, double seconds,
           double guessing_seconds = 0);

  /// How many guesses of that cost at one sequence of the step are worth making; `most` at most.
  int64_t worth_making(int64_t n_sequences, int64_t n_rows, const DraftCost& cost,
                       int64_t most) const;

  /// chances[i]: of sequence i's guesses, that each is right when those before it are. n_rows: tokens that the step
  /// computes in any case, at least one of each sequence. Returns how many guesses of each sequence to check, together at most `most`.
  std::vector<int64_t> choose(std::span<const std::vector<float>> chances, int64_t n_rows,
                              int64_t most) const;

  /// What a step of so many tokens takes, measured or inferred; 0: nothing was measured.
  double seconds_of(int64_t n_rows) const;

 private:
  static constexpr int64_t kMostRows = 128;  // beyond, costs are those of so many

  void judge(int64_t n_sequences, int64_t n_tokens, double seconds);

  Speculation speculation_;
  double row_cost_;
  std::array<double, kMostRows + 1> seconds_{};  // smoothed, by tokens; 0: not measured
  double margin_ = kFirstMargin;                 // what guessing must promise to gain
  double judged_seconds_ = 0,
         plain_seconds_ = 0;  // of steps with guesses, and of their tokens one by one
  int64_t judged_tokens_ = 0;

  static constexpr double kFirstMargin = 0.15, kLeastMargin = 0.03;
};

}  // namespace sluice::engine
