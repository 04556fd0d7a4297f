#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sluice/text/rust_tokenizer.h"
#include "tokenizing.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice::text;
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  try {
    auto tokenizer =
        call_rust("fuzz.json", [&] { return ffi::open_tokenizer_json(slice(json), {}); });
    tokenize_everything(RustTokenizer(std::move(tokenizer), {}, {}));
  } catch (const sluice::Error& error) {
    require(error.kind() != sluice::ErrorKind::internal, "a bad file is never our bug");
  }
  return 0;
}
