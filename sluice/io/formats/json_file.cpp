#include "sluice/io/formats/json_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/io/formats/json_excess.h"
#include "sluice/io/lfs_pointer.h"
#include "sluice/io/mapped_file.h"

namespace sluice::io {
namespace {

void check_depth(std::string_view text, const std::string& where, int depth) {
  const auto excess = find_excess(text, {.depth = static_cast<size_t>(depth)});
  if (!excess) return;
  fail(ErrorKind::bad_model, "{}: nested deeper than {} levels at {}", where, depth,
       text_position(text, excess->at));
}

/// Python writes infinities, which JSON has not: they become a number near the largest, in as many characters.
std::string without_infinities(std::string_view text) {
  constexpr std::string_view kInfinity = "Infinity", kLarge = "1e308   ";
  std::string copy(text);
  bool in_string = false;
  for (size_t i = 0; i < copy.size(); ++i) {
    if (in_string && copy[i] == '\\') {
      ++i;
    } else if (copy[i] == '"') {
      in_string = !in_string;
    } else if (!in_string && copy.compare(i, kInfinity.size(), kInfinity) == 0) {
      copy.replace(i, kInfinity.size(), kLarge);
    }
  }
  return copy;
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
    const bool of_python = text.find("Infinity") != text.npos;
    value =
        of_python ? nlohmann::json::parse(without_infinities(text)) : nlohmann::json::parse(text);
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
