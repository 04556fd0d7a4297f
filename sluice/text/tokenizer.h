#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/io/formats/gguf.h"
#include "sluice/text/utf8.h"

namespace sluice::text {

using Token = int32_t;

/// A conversation as its template wrote it. Special tokens are read where the template itself spelled them;
/// what messages and tools hold stays text, whatever it looks like.
struct RenderedPrompt {
  struct Span {
    size_t begin = 0, end = 0;
    bool operator==(const Span&) const = default;
  };
  std::string text;
  std::vector<Span> trusted;  ///< bytes of text that the template spelled: ascending, apart
  bool add_bos = false;       ///< add what the post-processor adds; templates write their own BOS
};

/// A special token that has a name, as templates know it: {"bos_token", "<s>"}.
struct NamedToken {
  std::string name, text;
  bool operator==(const NamedToken&) const = default;
};
using NamedTokens = std::vector<NamedToken>;

/// Text to token ids and back. Thread-safe after construction.
class Tokenizer {
 public:
  struct EncodeOptions {
    bool add_bos = true;        ///< add what the model's own post-processor adds (BOS, EOS, ...)
    bool parse_special = true;  ///< "<|im_start|>" in the text becomes that one token
  };

  /// tokenizer.json (Hugging Face `tokenizers`) with tokenizer_config.json, special_tokens_map.json,
  /// added_tokens.json, generation_config.json and config.json beside it where present (special tokens, eos
  /// ids). Throws Error(bad_model) naming the file, also for an id above 2^31 - 1.
  static std::unique_ptr<Tokenizer> from_directory(const std::filesystem::path& directory);

  /// The vocabulary inside a GGUF (tokenizer.ggml.*): byte-level BPE with its pre-tokenizer name, or
  /// SentencePiece-style scores with byte fallback. Throws Error(bad_model), or Error(unsupported) for an
  /// unknown model or pre-tokenizer name. The Gguf's mappings are kept alive.
  static std::unique_ptr<Tokenizer> from_gguf(const io::Gguf& gguf);

  virtual ~Tokenizer() = default;
  /// Throws Error(bad_request) when text is not UTF-8.
  virtual std::vector<Token> encode(std::string_view text, EncodeOptions options) const = 0;
  /// Equal to encode(prompt.text) where no special token is spelled outside of `trusted`; such a spelling
  /// is encoded as text, together with the text around it. Throws as the other.
  virtual std::vector<Token> encode(const RenderedPrompt& prompt) const = 0;
  /// All tokens' bytes joined, less one first space where drops_first_space, as UTF-8 (see Utf8Stream).
  /// Ids out of range decode to nothing. Special tokens are skipped unless keep_special.
  virtual std::string decode(std::span<const Token> tokens, bool keep_special = false) const;
  /// The bytes one token stands for: a token can be part of a character. Special tokens give "" unless keep_special.
  virtual std::string token_bytes(Token token, bool keep_special = false) const = 0;
  /// SentencePiece puts a space before a text; decoding takes it away again.
  virtual bool drops_first_space() const { return false; }

  virtual int64_t vocab_size() const = 0;          ///< the largest id and one
  virtual bool is_special(Token token) const = 0;  ///< a control token; false for ids out of range
  virtual const NamedTokens& named_tokens() const = 0;  ///< bos_token and others that exist
  virtual std::optional<Token> bos() const = 0;
  virtual bool adds_bos() const = 0;                  ///< encode(add_bos) starts with bos()
  virtual const std::vector<Token>& eos() const = 0;  ///< any of these ends a generation
  virtual std::optional<Token> token_id(std::string_view text) const = 0;
};

/// Turns tokens into text as they come; never emits part of a character. What all push() calls and
/// finish() return, joined, equals decode(all).
class Detokenizer {
 public:
  /// Where the tokens stand: `continuation` is text after other text (a completed prompt), whose first
  /// space is therefore kept even where drops_first_space.
  enum class Place { start, continuation };

  explicit Detokenizer(const Tokenizer& tokenizer, Place place = Place::start)
      : tokenizer_(tokenizer),
        drop_space_(place == Place::start && tokenizer.drops_first_space()) {}
  std::string push(Token token, bool keep_special = false);
  std::string finish() { return utf8_.finish(); }

 private:
  const Tokenizer& tokenizer_;
  Utf8Stream utf8_;
  bool drop_space_;  // no byte has come yet, and a space would be dropped
};

}  // namespace sluice::text
