#pragma once

#include <string>
#include <vector>

#include "require.h"
#include "sluice/base/error.h"
#include "sluice/text/tokenizer.h"

/// What every tokenizer promises, however odd its file is: nothing but Error is thrown, streamed text is
/// decoded text, and decoded text is UTF-8.
inline void tokenize_everything(const sluice::text::Tokenizer& tokenizer) {
  using namespace sluice::text;
  static const std::vector<std::string> kTexts = {
      "", "ab a  b\n\n", "I'LL pay 12345 \xE2\x82\xAC\r\n\t\xF0\x9F\x99\x82",
      "<s></s><|im_end|><0x41>"};
  try {
    for (const std::string& text : kTexts) {
      for (const bool special : {false, true}) {
        const auto ids = tokenizer.encode(text, {.add_bos = special, .parse_special = special});
        Detokenizer detokenizer(tokenizer);
        std::string streamed;
        for (const Token id : ids) streamed += detokenizer.push(id);
        streamed += detokenizer.finish();
        require(streamed == tokenizer.decode(ids), "streamed text is decoded text");
        tokenizer.encode(streamed, {});
        // Any bytes may be trusted, also a part of a character.
        tokenizer.encode(RenderedPrompt{text, {{0, text.size() / 2}, {text.size() / 2 + 1, 1000}}});
      }
    }
    std::vector<Token> all;
    for (Token id = -1; id < 300; ++id) all.push_back(id);
    tokenizer.encode(tokenizer.decode(all, true), {});
    tokenizer.token_id("a");
    tokenizer.vocab_size();
  } catch (const sluice::Error&) {
  }
}
