#include "sluice/server/page/page.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "sluice/server/page/page_files.h"

namespace sluice::server {
namespace {

constexpr std::string_view folder = "/page/";

std::string_view name_of(std::string_view path) {
  if (path == "/") return "index.html";
  if (path == "/favicon.ico") return "icon.svg";
  return path.starts_with(folder) ? path.substr(folder.size()) : std::string_view();
}

}  // namespace

std::optional<PageFile> page_file(std::string_view path) {
  const std::string_view name = name_of(path);
  const auto found = std::find_if(page_files.begin(), page_files.end(),
                                  [&](const NamedPageFile& file) { return file.name == name; });
  if (found == page_files.end()) return std::nullopt;
  return found->file;
}

}  // namespace sluice::server
