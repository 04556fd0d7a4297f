#include "sluice/engine/disk_cache/block_tag.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "sluice/base/error.h"
#include "sluice/engine/hub/digest.h"

namespace sluice::engine {
namespace {

constexpr size_t kTagBytes = 16;

const unsigned char* data_of(const void* bytes) { return static_cast<const unsigned char*>(bytes); }

[[noreturn]] void fail_gmac() { fail(ErrorKind::internal, "OpenSSL offers no GMAC"); }

}  // namespace

std::string first_chain(std::string_view model, std::string_view salt) {
  return sha256(fmt::format("{}{}", sha256(model), sha256(salt)));
}

std::string next_chain(std::string_view chain, std::span<const int32_t> tokens) {
  std::string all(chain);
  all.append(reinterpret_cast<const char*>(tokens.data()), tokens.size_bytes());
  return sha256(all);
}

void BlockTag::Free::operator()(evp_mac_ctx_st* context) const noexcept {
  EVP_MAC_CTX_free(context);
}

BlockTag::BlockTag(std::string_view chain, int part, std::string_view name) {
  struct FreeMac {
    void operator()(EVP_MAC* mac) const noexcept { EVP_MAC_free(mac); }
  };
  const std::unique_ptr<EVP_MAC, FreeMac> mac(EVP_MAC_fetch(nullptr, "GMAC", nullptr));
  context_.reset(mac ? EVP_MAC_CTX_new(mac.get()) : nullptr);
  const std::string key = sha256(fmt::format("{}{} {}", chain, part, name));
  std::string cipher = "AES-256-GCM";
  std::array<unsigned char, 12> nonce{};  // a key is used once
  const std::array<OSSL_PARAM, 3> parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_IV, nonce.data(), nonce.size()),
      OSSL_PARAM_construct_end()};
  if (!context_ ||
      EVP_MAC_init(context_.get(), data_of(key.data()), key.size(), parameters.data()) != 1)
    fail_gmac();
}

void BlockTag::update(std::span<const std::byte> bytes) {
  if (EVP_MAC_update(context_.get(), data_of(bytes.data()), bytes.size()) != 1) fail_gmac();
}

std::string BlockTag::finish() {
  std::string tag(kTagBytes, '\0');
  size_t size = 0;
  if (EVP_MAC_final(context_.get(), reinterpret_cast<unsigned char*>(tag.data()), &size,
                    tag.size()) != 1 ||
      size != tag.size()) {
    fail_gmac();
  }
  return tag;
}

}  // namespace sluice::engine
