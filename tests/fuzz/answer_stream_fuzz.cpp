// A server's answer as `sluice chat --url` reads it: the same however its bytes come.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "require.h"
#include "sluice/base/error.h"
#include "sluice/cli/answer_stream.h"

namespace {

using namespace sluice;

/// What was read, or the error.
std::string read(std::string_view bytes, size_t piece) {
  std::string said;
  const std::function<void(std::string_view)> on_text = [&](std::string_view text) {
    said += text;
  };
  cli::AnswerStream stream(on_text);
  try {
    for (size_t at = 0; at < bytes.size(); at += piece) stream.push(bytes.substr(at, piece));
  } catch (const Error& error) {
    require(error.kind() == ErrorKind::io, "what comes from a server is its fault");
    return said + "\n" + error.what();
  }
  require(stream.answer().text == said, "what was told is the answer");
  return said + (stream.done() ? "\nended" : "\nopen") +
         std::to_string(stream.answer().n_generated);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  require(read(bytes, 1 + data[0] % 32) == read(bytes, size), "pieces change nothing");
  return 0;
}
