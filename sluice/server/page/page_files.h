#pragma once

#include <span>
#include <string_view>

#include "sluice/server/page/page.h"

namespace sluice::server {

struct NamedPageFile {
  std::string_view name;  ///< "chat.js"
  PageFile file;
};

/// All files; defined in what embed.cmake writes.
extern const std::span<const NamedPageFile> page_files;

}  // namespace sluice::server
