#include "sluice/text/tokenizer.h"

namespace sluice::text {

std::string Tokenizer::decode(std::span<const Token> tokens, bool keep_special) const {
  Detokenizer detokenizer(*this);
  std::string text;
  for (const Token token : tokens) text += detokenizer.push(token, keep_special);
  return text + detokenizer.finish();
}

std::string Detokenizer::push(Token token, bool keep_special) {
  const std::string bytes = tokenizer_.token_bytes(token, keep_special);
  std::string_view rest = bytes;
  if (drop_space_ && !rest.empty()) {
    if (rest.front() == ' ') rest.remove_prefix(1);
    drop_space_ = false;
  }
  return utf8_.push(rest);
}

}  // namespace sluice::text
