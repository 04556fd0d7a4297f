#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/server/http/request_head.h"

namespace sluice::server {

/// Whose requests are answered.
struct GateOptions {
  std::vector<std::string> api_keys = {};  ///< none: everybody who reaches us
  /// Pages of other origins that may ask: "https://chat.example", "app://*", "*". A '*' at the end stands for any rest.
  std::vector<std::string> allowed_origins = {};
  /// Names that Host may have beside addresses and localhost. Without keys another name is refused: a page whose name
  /// was made to point here (DNS rebinding) would else be of our own origin.
  std::vector<std::string> allowed_hosts = {};
};

/// Judges a request by its head.
class Gate {
 public:
  explicit Gate(GateOptions options);

  /// Throws Refusal (403) for a Host or an Origin that may not ask.
  void check_place(const RequestHead& head) const;
  /// Throws Refusal (401) without a key, given as "Authorization: Bearer KEY" or "x-api-key: KEY".
  void check_key(const RequestHead& head) const;
  /// The name under which a client counts: that of its key, not the key itself; empty without keys.
  std::string client_of(const RequestHead& head) const;

  /// What lets the page of another, allowed, origin read the answer; none for others.
  Headers cors_headers(const RequestHead& head) const;

 private:
  using Digest = std::array<unsigned char, 32>;
  static Digest digest(std::string_view text);
  bool allows_host(std::string_view host) const;
  bool allows_origin(const RequestHead& head, std::string_view origin) const;

  GateOptions options_;
  std::vector<Digest>
      keys_;  // SHA-256, so that a comparison tells neither a key's length nor where it differs
};

/// "example.org", "127.0.0.1" or "::1" of "example.org:80", "127.0.0.1" or "[::1]:80"; in lower case.
std::string host_name(std::string_view host);

/// Whether it is a numeric address, of either version.
bool is_address(const std::string& name);

/// Whether only this machine's programs reach it: "localhost", "127.*", "::1".
bool is_loopback(const std::string& name);

}  // namespace sluice::server
