#include "sluice/engine/hub/certificates.h"

#include <filesystem>

namespace sluice::engine {

void trust_this_systems_certificates(CURL* easy) {
  const auto is_there = [](const char* file) {
    std::error_code none;
    return std::filesystem::exists(file, none);
  };
  const char* const built_for = curl_version_info(CURLVERSION_NOW)->cainfo;
  if (built_for == nullptr || is_there(built_for)) return;
  for (const char* file : {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                           "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}) {
    if (!is_there(file)) continue;
    curl_easy_setopt(easy, CURLOPT_CAINFO, file);
    return;
  }
}

}  // namespace sluice::engine
