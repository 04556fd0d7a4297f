// The head of a request, as a connection's first bytes are read.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "require.h"
#include "sluice/server/http/request_head.h"
#include "sluice/server/refusal.h"

using namespace sluice::server;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const auto end = find_head_end(bytes);
  require(!end || (*end > 0 && *end <= size), "a head ends within what came");
  // Where a head ends must not depend on how its bytes come.
  for (size_t n = 0; n < size && size < 256; ++n) {
    const auto sooner = find_head_end(std::string_view(bytes).substr(0, n));
    require(!sooner || sooner == end, "more bytes do not move the end");
  }
  const std::string_view given = std::string_view(bytes).substr(0, end.value_or(size));
  try {
    const RequestHead head = parse_head(given);
    require(!head.method.empty() && !head.path.empty(), "a request has a method and a path");
    require(head.path == "*" || head.path.starts_with('/'), "a path begins with a slash");
    require(!(head.chunked && head.content_length), "a body has one length");
    require(head.path.find('\0') == head.path.npos, "a path is a text");
    for (const auto& [name, value] : head.headers) {
      require(!name.empty() && name.find_first_of("\r\n: ") == name.npos, "names are tokens");
      require(value.find_first_of("\r\n") == value.npos, "a value is a line");
    }
    require(given.find('\n') != 0, "an empty line is no head");
  } catch (const Refusal& refusal) {
    require(refusal.status >= 400 && refusal.status < 600, "a refusal is an error");
  }
  return 0;
}
