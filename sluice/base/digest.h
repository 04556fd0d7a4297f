#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace sluice {

/// A hash computed piece by piece. Move-only.
class Digest {
 public:
  static Digest sha256();
  /// What git calls a file's blob id: SHA-1 of "blob SIZE", a zero byte and the content. It guards
  /// against accidents only; files that matter have a sha256.
  static Digest git_blob(uint64_t bytes);

  void update(std::string_view data);
  /// Each ends the digest: as it is (32 bytes of SHA-256), or in lower-case hex.
  std::string bytes();
  std::string hex();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const noexcept;
  };
  explicit Digest(const char* algorithm);

  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

/// SHA-256 of bytes, 32 bytes.
std::string sha256(std::string_view bytes);

/// Feeds a file to a digest and says how many bytes that were. Throws Error(io).
uint64_t update_from_file(Digest& digest, const std::filesystem::path& path);

}  // namespace sluice
