#include "sluice/server/http/gate.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>

#include "sluice/server/refusal.h"

namespace sluice::server {
namespace {

/// The key that a request shows; empty without one.
std::string_view shown_key(const RequestHead& head) {
  if (const auto header = head.header("authorization")) {
    constexpr size_t kScheme = 7;  // "Bearer "
    if (header->size() > kScheme && same_word(header->substr(0, kScheme), "Bearer "))
      return header->substr(header->find_first_not_of(' ', kScheme - 1));
  }
  return head.header("x-api-key").value_or("");
}

/// Our own page's, also where a proxy before us speaks TLS.
bool is_own(std::string_view origin, const RequestHead& head) {
  return same_word(origin, "http://" + head.host) || same_word(origin, "https://" + head.host);
}

bool matches(std::string_view text, std::string_view pattern) {
  if (pattern.ends_with('*')) return text.starts_with(pattern.substr(0, pattern.size() - 1));
  return text == pattern;
}

}  // namespace

Gate::Gate(GateOptions options) : options_(std::move(options)) {
  for (const std::string& key : options_.api_keys) keys_.push_back(digest(key));
}

Gate::Digest Gate::digest(std::string_view text) {
  Digest result;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), result.data());
  return result;
}

void Gate::check_place(const RequestHead& head) const {
  if (!allows_host(head.host)) {
    throw Refusal(
        403, "the Host '" + host_name(head.host) + "' is not served here; --allow-host names more");
  }
  if (const auto origin = head.header("origin"); origin && !allows_origin(head, *origin)) {
    throw Refusal(403, "pages of the Origin '" + std::string(*origin) +
                           "' may not ask here; --allow-origin names those that may");
  }
}

bool Gate::allows_host(std::string_view host) const {
  if (host.empty() || !keys_.empty()) return true;
  const std::string name = host_name(host);
  return is_address(name) || name == "localhost" || name.ends_with(".localhost") ||
         std::ranges::find(options_.allowed_hosts, name) != options_.allowed_hosts.end();
}

bool Gate::allows_origin(const RequestHead& head, std::string_view origin) const {
  if (is_own(origin, head)) return true;
  return std::ranges::any_of(options_.allowed_origins,
                             [&](const std::string& allowed) { return matches(origin, allowed); });
}

void Gate::check_key(const RequestHead& head) const {
  if (keys_.empty()) return;
  if (client_of(head).empty())
    throw Refusal(401, "an API key is needed: Authorization: Bearer KEY, or x-api-key: KEY");
}

std::string Gate::client_of(const RequestHead& head) const {
  const Digest shown = digest(shown_key(head));
  size_t found = 0;  // looks at all of them, whichever it is
  for (size_t i = 0; i < keys_.size(); ++i) {
    if (CRYPTO_memcmp(shown.data(), keys_[i].data(), shown.size()) == 0) found = i + 1;
  }
  return found == 0 ? "" : "key " + std::to_string(found);
}

Headers Gate::cors_headers(const RequestHead& head) const {
  const auto origin = head.header("origin");
  if (!origin || is_own(*origin, head) || !allows_origin(head, *origin)) return {};
  Headers headers{
      {"Access-Control-Allow-Origin", std::string(*origin)},
      {"Access-Control-Expose-Headers", "x-request-id, request-id, retry-after, traceparent"},
      {"Vary", "Origin"}};
  if (head.method != "OPTIONS") return headers;
  headers.emplace_back("Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE, OPTIONS");
  headers.emplace_back("Access-Control-Max-Age", "600");
  if (const auto names = head.header("access-control-request-headers"))
    headers.emplace_back("Access-Control-Allow-Headers", std::string(*names));
  if (head.header("access-control-request-private-network"))
    headers.emplace_back("Access-Control-Allow-Private-Network", "true");
  return headers;
}

std::string host_name(std::string_view host) {
  if (host.starts_with('[')) {
    host = host.substr(1, host.find(']') - 1);
  } else if (std::ranges::count(host, ':') == 1) {
    host = host.substr(0, host.find(':'));
  }
  std::string name(host);
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (name.ends_with('.')) name.pop_back();
  return name;
}

bool is_address(const std::string& name) {
  in6_addr address;
  return inet_pton(AF_INET, name.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, name.c_str(), &address) == 1;
}

bool is_loopback(const std::string& name) {
  return name == "localhost" || name == "::1" || (name.starts_with("127.") && is_address(name));
}

}  // namespace sluice::server
