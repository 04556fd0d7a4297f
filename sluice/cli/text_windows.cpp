#include "sluice/cli/text_windows.h"

#include <algorithm>

#include "sluice/base/error.h"

namespace sluice::cli {

TextWindows::TextWindows(const engine::Engine& engine, const std::string& text,
                         const std::string& file, int64_t size, int64_t most)
    : size_(size) {
  const text::Tokenizer& tokenizer = engine.tokenizer();
  tokens_ = tokenizer.encode(text, {.add_bos = true, .parse_special = false});
  engine.check_ids(tokens_);  // a window's last one is looked up and never computed
  count_ = std::min(std::ssize(tokens_) / size, most);
  if (count_ == 0) {
    fail(ErrorKind::bad_request,
         "{}: has {} tokens, one window needs {}; give a longer text or a smaller --ctx", file,
         tokens_.size(), size);
  }
  tokens_.resize(static_cast<size_t>(count_ * size));
  if (tokenizer.adds_bos()) first_ = tokenizer.bos();
}

void TextWindows::each_prediction(engine::Engine& engine, int64_t i, const Sink& sink) const {
  std::vector<text::Token> window(tokens_.begin() + i * size_, tokens_.begin() + (i + 1) * size_);
  if (first_) window[0] = *first_;
  // The last token predicts nothing that is scored.
  engine.logits(std::span(window).first(window.size() - 1), size_ / 2,
                [&](int64_t position, std::span<const float> logits) {
                  sink(logits, window[static_cast<size_t>(position) + 1]);
                });
}

}  // namespace sluice::cli
