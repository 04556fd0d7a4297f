#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "sluice/engine/engine.h"
#include "sluice/engine/guess_maker.h"

namespace sluice::engine {

/// A smaller model of the same vocabulary, whose best tokens are guesses at what a larger one says (speculative
/// decoding, Leviathan and others 2022, arXiv:2211.17192). It computes nothing else.
/// But for the constructor on the thread of the engine that it guesses for.
class DraftModel : public GuessMaker {
 public:
  /// Throws Error(bad_request) unless both models have tokenizers by which the same ids are the same text.
  DraftModel(std::shared_ptr<Engine> engine, const text::Tokenizer& guessed_for);

  /// They are none once the timeline is longer than the model's context.
  std::unique_ptr<Guesses> guesses(std::string salt) override;

 private:
  class Chain;

  std::shared_ptr<Engine> engine_;
};

/// Opens a model and, with the same options as far as they concern it, one that guesses for it; they share options.ram.
/// Throws as Engine::open(), shares_of() and the constructor.
std::unique_ptr<Engine> open_with_draft(const std::filesystem::path& path,
                                        const std::filesystem::path& draft,
                                        const EngineOptions& options);

}  // namespace sluice::engine
