#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct evp_mac_ctx_st;

namespace sluice::engine {

/// What names a stretch of 256 tokens: 32 bytes, made of the model with its settings, the partition, and all tokens up
/// to the stretch's end.
std::string first_chain(std::string_view model, std::string_view salt);
std::string next_chain(std::string_view chain, std::span<const int32_t> tokens);

/// What a block's bytes are checked by: GMAC (AES-256) with a key made of the stretch, the part and the file's name, which
/// is of this file alone. So bytes are right for these tokens, or they do not fit the tag (but with a chance of 2^-100 for
/// 64 MB): whatever an index says of where they are. Several times as fast as SHA-256, so that reading is no slower
/// for it.
class BlockTag {
 public:
  BlockTag(std::string_view chain, int part, std::string_view name);
  void update(std::span<const std::byte> bytes);
  /// 16 bytes; ends it.
  std::string finish();

 private:
  struct Free {
    void operator()(evp_mac_ctx_st* context) const noexcept;
  };
  std::unique_ptr<evp_mac_ctx_st, Free> context_;
};

}  // namespace sluice::engine
