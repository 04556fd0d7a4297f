#pragma once

#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sluice/engine/engine.h"

namespace sluice::cli {

/// A text cut as llama.cpp measures perplexity: the token stream, BOS once at its start, is cut into windows; a window's
/// first token becomes BOS where the model wants one; positions size/2 to size - 2 predict their next token.
class TextWindows {
 public:
  /// file: of the text, for the message. Throws Error(bad_request) when the text does not fill one window, and for ids that the
  /// model has not got.
  TextWindows(const engine::Engine& engine, const std::string& text, const std::string& file,
              int64_t size, int64_t most = std::numeric_limits<int64_t>::max());

  int64_t count() const { return count_; }

  /// Logits float32 [vocab_size] and the token that follows; runs on the stream's thread.
  using Sink = std::function<void(std::span<const float> logits, text::Token next)>;
  /// Calls sink for each prediction of window i, in order.
  void each_prediction(engine::Engine& engine, int64_t i, const Sink& sink) const;

  bool operator==(const TextWindows&) const = default;

 private:
  std::vector<text::Token> tokens_;  // those of the windows
  int64_t size_, count_;
  std::optional<text::Token> first_;  // of each window, in place of its own
};

}  // namespace sluice::cli
