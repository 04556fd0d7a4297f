#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sluice/text/ffi.h"
#include "sluice/text/tokenizer.h"

namespace sluice::text {

/// What a model's files say about its special tokens.
struct SpecialTokens {
  std::optional<Token> bos;
  bool adds_bos = false;
  std::vector<Token> eos;
  NamedTokens named;
};

/// A tokenizer of rust/text.
class RustTokenizer final : public Tokenizer {
 public:
  using Mappings = std::vector<std::shared_ptr<const io::MappedFile>>;

  /// `mappings` hold the bytes that `tokenizer` reads.
  RustTokenizer(rust::Box<ffi::Tokenizer> tokenizer, SpecialTokens special, Mappings mappings)
      : mappings_(std::move(mappings)),
        tokenizer_(std::move(tokenizer)),
        special_(std::move(special)) {}

  std::vector<Token> encode(std::string_view text, EncodeOptions options) const override;
  std::vector<Token> encode(const RenderedPrompt& prompt) const override;
  std::string token_bytes(Token token, bool keep_special) const override;
  bool drops_first_space() const override { return tokenizer_->drops_first_space(); }
  int64_t vocab_size() const override;
  bool is_special(Token token) const override { return tokenizer_->is_special(token); }
  const NamedTokens& named_tokens() const override { return special_.named; }
  std::optional<Token> bos() const override { return special_.bos; }
  bool adds_bos() const override { return special_.adds_bos; }
  const std::vector<Token>& eos() const override { return special_.eos; }
  std::optional<Token> token_id(std::string_view text) const override;

  const ffi::Tokenizer& rust() const { return *tokenizer_; }

 private:
  Mappings mappings_;  // before tokenizer_: it must outlive it
  rust::Box<ffi::Tokenizer> tokenizer_;
  SpecialTokens special_;
};

}  // namespace sluice::text
