#include "sluice/engine/hub/hub_repository.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "sluice/base/error.h"
#include "sluice/engine/hub/download.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::engine {
namespace {

constexpr size_t kMaxListingBytes = 32 << 20;

std::string escape_path(std::string_view path) {
  std::string escaped;
  for (size_t slash; (slash = path.find('/')) != path.npos; path.remove_prefix(slash + 1)) {
    escaped += url_escape(path.substr(0, slash)) + "/";
  }
  return escaped + url_escape(path);
}

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  std::string text(value == nullptr ? "" : value);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.pop_back();
  return text;
}

/// As the hub's own client reads its switches.
bool is_on(std::string value) {
  for (char& c : value) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

/// What the hub's own client left of a login; "" for none.
std::string stored_token() {
  namespace fs = std::filesystem;
  fs::path path = variable("HF_TOKEN_PATH");
  const std::string hub_home = variable("HF_HOME"), cache = variable("XDG_CACHE_HOME"),
                    home = variable("HOME");
  if (path.empty() && !hub_home.empty()) path = fs::path(hub_home) / "token";
  if (path.empty() && !cache.empty()) path = fs::path(cache) / "huggingface/token";
  if (path.empty() && !home.empty()) path = fs::path(home) / ".cache/huggingface/token";
  std::string token;
  std::ifstream(path) >> token;
  return token;
}

}  // namespace

PullOptions PullOptions::from_environment() {
  PullOptions options;
  if (const std::string endpoint = variable("HF_ENDPOINT"); !endpoint.empty())
    options.endpoint = endpoint;
  options.token = variable("HF_TOKEN");
  if (options.token.empty()) options.token = stored_token();
  for (const char* name : {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}) {
    if (options.offline.empty() && is_on(variable(name))) options.offline = name;
  }
  return options;
}

PullOptions checked(std::string_view name, PullOptions options) {
  if (!is_model_name(name)) {
    fail(
        ErrorKind::bad_request,
        "'{}' is not a model's name on a hub: letters, digits, '.', '_' and '-', as in org/name or "
        "org/name:Q4_K_M",
        name);
  }
  if (!options.offline.empty()) {
    fail(ErrorKind::bad_request,
         "{}: {} is set, so the hub is not asked; unset it, or name a model that is here "
         "(`sluice list`)",
         name, options.offline);
  }
  while (options.endpoint.ends_with('/')) options.endpoint.pop_back();
  return options;
}

HubRepository::HubRepository(std::string_view name, const PullOptions& options)
    : options_(checked(name, options)),
      id_(name.substr(0, name.find(':'))),
      selector_(id_.size() == name.size() ? "" : name.substr(id_.size() + 1)),
      retry_{.tries = options.tries},
      client_({options_.token, options_.endpoint, options_.endpoint + "/" + id_, options_.stall}) {
  const std::string url = fmt::format("{}/api/models/{}/revision/{}?blobs=true", options_.endpoint,
                                      escape_path(id_), url_escape(options_.revision));
  const HubListing listing =
      parse_hub_listing(download_text(client_, url, kMaxListingBytes, id_, retry_), id_);
  commit_ = listing.commit;
  files_ = choose_hub_files(listing, id_, selector_);
}

Bytes HubRepository::bytes() const {
  Bytes total;
  for (const HubFile& file : files_) total.count += file.bytes;
  return total;
}

std::string HubRepository::url(const HubFile& file) const {
  return fmt::format("{}/{}/resolve/{}/{}", options_.endpoint, escape_path(id_),
                     url_escape(commit_.empty() ? options_.revision : commit_),
                     escape_path(file.name));
}

}  // namespace sluice::engine
