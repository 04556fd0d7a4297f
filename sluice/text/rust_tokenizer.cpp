#include "sluice/text/rust_tokenizer.h"

namespace sluice::text {

std::vector<Token> RustTokenizer::encode(std::string_view text, EncodeOptions options) const {
  const auto tokens = call_rust(
      "", [&] { return tokenizer_->encode(slice(text), options.add_bos, options.parse_special); });
  return {tokens.begin(), tokens.end()};
}

std::vector<Token> RustTokenizer::encode(const RenderedPrompt& prompt) const {
  std::vector<ffi::Span> trusted;
  trusted.reserve(prompt.trusted.size());
  for (const auto& span : prompt.trusted) trusted.push_back({span.begin, span.end});
  const auto tokens = call_rust("", [&] {
    return tokenizer_->encode_within(slice(prompt.text), prompt.add_bos,
                                     {trusted.data(), trusted.size()});
  });
  return {tokens.begin(), tokens.end()};
}

std::string RustTokenizer::token_bytes(Token token, bool keep_special) const {
  const auto bytes = call_rust("", [&] { return tokenizer_->token_bytes(token, keep_special); });
  return {bytes.begin(), bytes.end()};
}

int64_t RustTokenizer::vocab_size() const {
  return call_rust("", [&] { return tokenizer_->vocab_size(); });
}

std::optional<Token> RustTokenizer::token_id(std::string_view text) const {
  const Token id = call_rust("", [&] { return tokenizer_->token_id(slice(text)); });
  if (id < 0) return std::nullopt;
  return id;
}

}  // namespace sluice::text
