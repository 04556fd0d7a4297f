#include "sluice/io/formats/json_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/io/lfs_pointer.h"
#include "sluice/io/mapped_file.h"

namespace sluice::io {
namespace {

// The parser builds what it reads before anybody could count levels, so they are counted here first. Up to
// the text's first error brackets and strings are told apart as the parser does; it stops there anyway.
void check_depth(std::string_view text, const std::string& where, int depth_limit) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > depth_limit) {
        fail(ErrorKind::bad_model, "{}: nested deeper than {} levels at {}", where, depth_limit,
             text_position(text, i));
      }
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

}  // namespace

std::string text_position(std::string_view text, size_t offset) {
  const auto before = text.substr(0, std::min(offset, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0: the first line
  return fmt::format("line {}, column {}", line, before.size() - line_start + 1);
}

nlohmann::json parse_json(std::string_view text, const std::string& where,
                          const JsonLimits& limits) {
  if (text.size() > limits.size.count) {
    fail(ErrorKind::bad_model, "{}: is {}, at most {} are read", where,
         to_string(Bytes{text.size()}), to_string(limits.size));
  }
  check_depth(text, where, limits.depth);
  nlohmann::json value;
  try {
    value = nlohmann::json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    const size_t offset = error.byte == 0 ? 0 : error.byte - 1;
    fail(ErrorKind::bad_model, "{}: is no JSON from {} on", where, text_position(text, offset));
  } catch (const nlohmann::json::exception&) {
    fail(ErrorKind::bad_model, "{}: holds a number that no double can represent", where);
  }
  if (!value.is_object()) {
    fail(ErrorKind::bad_model, "{}: the top is of type {}, wanted an object", where,
         value.type_name());
  }
  return value;
}

nlohmann::json read_json_file(const std::filesystem::path& path, const JsonLimits& limits) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  refuse_lfs_pointer(bytes, path.filename().string());
  auto value = parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                          path.filename().string(), limits);
  if (file->changed()) fail(ErrorKind::io, "{}: was written to while being read", path.string());
  return value;
}

}  // namespace sluice::io
