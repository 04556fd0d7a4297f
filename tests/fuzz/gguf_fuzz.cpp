#include <cstddef>
#include <cstdint>

#include "index_promises.h"
#include "require.h"
#include "sluice/base/error.h"
#include "sluice/io/formats/gguf.h"

namespace {

using namespace sluice::io;

/// Uses a value as the layers above do.
void use(const GgufMetadata& metadata, const std::string& key) {
  const auto ignoring_errors = [](auto action) {
    try {
      action();
    } catch (const sluice::Error&) {
    }
  };
  ignoring_errors([&] { (void)metadata.integer(key); });
  ignoring_errors([&] { (void)metadata.number(key); });
  ignoring_errors([&] { (void)metadata.boolean(key); });
  ignoring_errors([&] { (void)metadata.string(key); });
  ignoring_errors([&] {
    const auto array = metadata.array(key);
    if (!array) return;
    if (array->element == GgufType::string) {
      size_t total = 0;
      for (const auto text : array->strings()) total += text.size();
      require(total <= array->bytes.size(), "strings lie within their array");
    } else {
      require(array->numbers().size() == array->count, "every number of an array is given");
    }
    (void)array->integers();
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Gguf gguf;
  try {
    read_gguf_header(std::as_bytes(std::span(data, size)), "fuzz.gguf", 0, gguf);
  } catch (const sluice::Error&) {
    return 0;
  }
  require_sound(gguf.index, size);
  for (const auto& [key, value] : gguf.metadata.values) use(gguf.metadata, key);
  return 0;
}
