#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "require.h"
#include "sluice/base/error.h"
#include "sluice/io/formats/json_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto value = sluice::io::parse_json(text, "fuzz.json");
    require(value.is_object(), "the top is an object");
    const auto again = sluice::io::parse_json(value.dump(), "fuzz.json");
    require(again == value, "what was read can be written and read again");
  } catch (const sluice::Error&) {
  }
  return 0;
}
