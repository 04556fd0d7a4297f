#include "sluice/engine/disk_cache/block_tag.h"

#include <fmt/format.h>

#include "sluice/base/digest.h"

namespace sluice::engine {

std::string first_chain(std::string_view model, std::string_view salt) {
  return sha256(fmt::format("{}{}", sha256(model), sha256(salt)));
}

std::string next_chain(std::string_view chain, std::span<const int32_t> tokens) {
  std::string all(chain);
  all.append(reinterpret_cast<const char*>(tokens.data()), tokens.size_bytes());
  return sha256(all);
}

BlockTag::BlockTag(std::string_view chain, int part, std::string_view name)
    : Gmac(sha256(fmt::format("{}{} {}", chain, part, name))) {}

}  // namespace sluice::engine
