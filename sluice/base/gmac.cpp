#include "sluice/base/gmac.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>

#include "sluice/base/error.h"

namespace sluice {
namespace {

constexpr size_t kTagBytes = 16;

const unsigned char* data_of(const void* bytes) { return static_cast<const unsigned char*>(bytes); }

[[noreturn]] void fail_gmac() { fail(ErrorKind::internal, "OpenSSL offers no GMAC"); }

}  // namespace

void Gmac::Free::operator()(evp_mac_ctx_st* context) const noexcept { EVP_MAC_CTX_free(context); }

Gmac::Gmac(std::string_view key) {
  struct FreeMac {
    void operator()(EVP_MAC* mac) const noexcept { EVP_MAC_free(mac); }
  };
  const std::unique_ptr<EVP_MAC, FreeMac> mac(EVP_MAC_fetch(nullptr, "GMAC", nullptr));
  context_.reset(mac ? EVP_MAC_CTX_new(mac.get()) : nullptr);
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

void Gmac::update(std::span<const std::byte> bytes) {
  if (EVP_MAC_update(context_.get(), data_of(bytes.data()), bytes.size()) != 1) fail_gmac();
}

std::string Gmac::finish() {
  std::string tag(kTagBytes, '\0');
  size_t size = 0;
  if (EVP_MAC_final(context_.get(), reinterpret_cast<unsigned char*>(tag.data()), &size,
                    tag.size()) != 1 ||
      size != tag.size()) {
    fail_gmac();
  }
  return tag;
}

}  // namespace sluice
