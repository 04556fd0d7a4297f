#include "sluice/base/digest.h"

#include <openssl/evp.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "sluice/base/error.h"

namespace sluice {

void Digest::Free::operator()(evp_md_ctx_st* context) const noexcept { EVP_MD_CTX_free(context); }

Digest::Digest(const char* algorithm) : context_(EVP_MD_CTX_new()) {
  const EVP_MD* kind = EVP_get_digestbyname(algorithm);
  if (!context_ || kind == nullptr || EVP_DigestInit_ex(context_.get(), kind, nullptr) != 1) {
    fail(ErrorKind::internal, "OpenSSL offers no {}", algorithm);
  }
}

Digest Digest::sha256() { return Digest("SHA256"); }

Digest Digest::git_blob(uint64_t bytes) {
  Digest digest("SHA1");
  const std::string header = fmt::format("blob {}", bytes);
  digest.update({header.c_str(), header.size() + 1});  // with its zero byte
  return digest;
}

void Digest::update(std::string_view data) {
  if (EVP_DigestUpdate(context_.get(), data.data(), data.size()) != 1) {
    fail(ErrorKind::internal, "OpenSSL cannot hash");
  }
}

std::string Digest::bytes() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(context_.get(), bytes.data(), &size) != 1) {
    fail(ErrorKind::internal, "OpenSSL cannot hash");
  }
  return {bytes.begin(), bytes.begin() + size};
}

std::string Digest::hex() {
  std::string text;
  for (const char byte : bytes()) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

std::string sha256(std::string_view bytes) {
  Digest digest = Digest::sha256();
  digest.update(bytes);
  return digest.bytes();
}

uint64_t update_from_file(Digest& digest, const std::filesystem::path& path) {
  const auto close = [](std::FILE* file) { std::fclose(file); };
  const std::unique_ptr<std::FILE, decltype(close)> file(std::fopen(path.c_str(), "rb"), close);
  if (!file) fail(ErrorKind::io, "{}: cannot read: {}", path.string(), std::strerror(errno));
  std::vector<char> buffer(1 << 20);
  uint64_t total = 0;
  while (const size_t count = std::fread(buffer.data(), 1, buffer.size(), file.get())) {
    digest.update({buffer.data(), count});
    total += count;
  }
  if (std::ferror(file.get()) != 0) fail(ErrorKind::io, "{}: cannot read", path.string());
  return total;
}

}  // namespace sluice
