#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sluice/base/gmac.h"

namespace sluice::engine {

/// What names a stretch of 256 tokens: 32 bytes, made of the model with its settings, the partition, and all tokens up
/// to the stretch's end.
std::string first_chain(std::string_view model, std::string_view salt);
std::string next_chain(std::string_view chain, std::span<const int32_t> tokens);

/// What a block's bytes are checked by: GMAC with a key made of the stretch, the part and the file's name, which is of this
/// file alone. So bytes are right for these tokens, or they do not fit the tag: whatever an index says of where they are.
class BlockTag : public Gmac {
 public:
  BlockTag(std::string_view chain, int part, std::string_view name);
};

}  // namespace sluice::engine
