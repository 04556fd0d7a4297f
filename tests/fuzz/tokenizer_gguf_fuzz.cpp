#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/io/formats/gguf.h"
#include "tokenizing.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sluice::io::Gguf gguf;
  try {
    sluice::io::read_gguf_header(std::as_bytes(std::span(data, size)), "fuzz.gguf", 0, gguf);
    tokenize_everything(*sluice::text::Tokenizer::from_gguf(gguf));
  } catch (const sluice::Error&) {
  }
  return 0;
}
