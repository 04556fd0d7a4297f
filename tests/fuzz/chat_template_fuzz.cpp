#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "require.h"
#include "sluice/base/error.h"
#include "sluice/text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using Json = nlohmann::ordered_json;
  static const Json kMessages = {
      {{"role", "system"}, {"content", "Be brief."}},
      {{"role", "user"}, {"content", {{{"type", "text"}, {"text", "Hi"}}}}}};
  static const Json kTools = {
      {{"type", "function"}, {"function", {{"name", "f"}, {"parameters", Json::object()}}}}};
  const auto chat_template = sluice::text::ChatTemplate::from_source(
      std::string(reinterpret_cast<const char*>(data), size), "fuzz.jinja");
  try {
    const std::string text = chat_template.render(kMessages, kTools, {}, true);
    require(text.size() <= 16'000'000, "the output is bounded");
  } catch (const sluice::Error& error) {
    require(error.kind() != sluice::ErrorKind::internal, "a bad template is never our bug");
  }
  return 0;
}
