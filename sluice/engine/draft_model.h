#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sluice/decode/drafter.h"
#include "sluice/engine/draft_governor.h"
#include "sluice/engine/engine.h"

namespace sluice::engine {

/// A smaller model of the same vocabulary, whose best tokens are guesses at what a larger one says (speculative
/// decoding, Leviathan and others 2022, arXiv:2211.17192; what is accepted is decision 014's). It computes nothing else.
/// But for the constructor on the thread of the engine that it guesses for.
class DraftModel {
 public:
  /// Throws Error(bad_request) unless both models have tokenizers by which the same ids are the same text.
  DraftModel(std::shared_ptr<Engine> engine, const text::Tokenizer& guessed_for);

  /// salt: whose prefixes its keys and values may be taken from, and are kept for. The drafter has no guesses once
  /// the timeline is longer than the model's context, or its memory too small.
  std::unique_ptr<decode::Drafter> drafter(std::string salt);

  /// As measured lately, of all drafters.
  const DraftCost& cost() const { return cost_; }

 private:
  class Guesses;
  /// How often tokens were right to which the model gave a probability in one eighth of [0, 1].
  struct Bin {
    double right = 0, all = 0;
  };
  static constexpr size_t kBins = 8;

  float chance_of(float probability) const;
  void count(float probability, bool right);
  void count_seconds(double seconds);

  std::shared_ptr<Engine> engine_;
  std::array<Bin, kBins> bins_;
  DraftCost cost_;
};

/// Opens a model and, with the same options as far as they concern it, one that guesses for it; they share options.ram.
/// Throws as Engine::open(), shares_of() and the constructor.
std::unique_ptr<Engine> open_with_draft(const std::filesystem::path& path,
                                        const std::filesystem::path& draft,
                                        const EngineOptions& options);

}  // namespace sluice::engine
