#include "sluice/engine/hub/hub_listing.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "sluice/base/error.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::engine {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 50;
constexpr size_t kMaxNameBytes = 200;

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

/// A hash of the listing: "" when absent.
std::string read_hash(const json& object, const char* key, size_t digits, std::string_view where) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return "";
  if (!it->is_string() || !is_hex(it->get_ref<const std::string&>(), digits)) {
    fail(ErrorKind::io, "{}: the hub's {} is not {} hex digits", where, key, digits);
  }
  return it->get<std::string>();
}

/// Whether a name would lead out of the repository's folder.
bool escapes(std::string_view name) {
  return name.empty() || name.front() == '/' || name.back() == '/' ||
         name.find('\\') != name.npos || name == ".." || name.starts_with("../") ||
         name.ends_with("/..") || name.find("/../") != name.npos ||
         std::any_of(name.begin(), name.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

/// A name that becomes one on this disk.
bool is_plain(std::string_view local_name) {
  constexpr std::string_view kOthers = "._-+=@";
  return !local_name.empty() && local_name.size() <= kMaxNameBytes && local_name[0] != '.' &&
         local_name[0] != '-' && std::all_of(local_name.begin(), local_name.end(), [&](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                  kOthers.find(c) != kOthers.npos;
         });
}

HubFile read_file(const json& sibling, std::string_view id) {
  const auto name = sibling.find("rfilename");
  if (name == sibling.end() || !name->is_string() || escapes(name->get_ref<const std::string&>())) {
    fail(ErrorKind::io, "{}: the hub lists a file without a proper name", id);
  }
  HubFile file{name->get<std::string>(), 0, "", ""};
  const std::string where = fmt::format("{}/{}", id, file.name);
  const auto size = sibling.find("size");
  if (size == sibling.end() || !size->is_number_unsigned() ||
      size->get<uint64_t>() > kMaxFileBytes) {
    fail(ErrorKind::io, "{}: the hub gives no proper size", where);
  }
  file.bytes = size->get<uint64_t>();
  if (const auto lfs = sibling.find("lfs"); lfs != sibling.end() && lfs->is_object()) {
    file.sha256 = read_hash(*lfs, "sha256", 64, where);
  }
  if (file.sha256.empty()) file.git_sha1 = read_hash(sibling, "blobId", 40, where);
  return file;
}

bool is_gguf_model(const HubFile& file) {
  return file.name.ends_with(".gguf") && !file.local_name().starts_with("mmproj");
}

/// What a safetensors checkpoint consists of, in the repository's top folder.
bool belongs_to_checkpoint(const HubFile& file) {
  const std::string_view name = file.name;
  if (file.is_pooling()) return true;
  if (name.find('/') != name.npos || name[0] == '.') return false;
  if (name.ends_with(".safetensors") || name.ends_with(".json") || name.ends_with(".jinja"))
    return true;
  return name.starts_with("tokenizer.") && !name.ends_with(".model");
}

std::vector<HubFile> checkpoint_files(const HubListing& listing) {
  std::vector<HubFile> chosen;
  for (const HubFile& file : listing.files) {
    if (belongs_to_checkpoint(file)) chosen.push_back(file);
  }
  const auto is_weights = [](const HubFile& f) { return f.name.ends_with(".safetensors"); };
  if (std::none_of(chosen.begin(), chosen.end(), is_weights)) return {};
  // Mistral's repositories hold the same weights a second time under this name.
  const auto is_second = [](const HubFile& f) { return f.name.starts_with("consolidated"); };
  if (std::any_of(chosen.begin(), chosen.end(),
                  [&](const HubFile& f) { return is_weights(f) && !is_second(f); })) {
    std::erase_if(chosen, is_second);
  }
  return chosen;
}

/// The GGUF models by folder and stem, each with its parts.
std::map<std::string, std::vector<HubFile>> gguf_models(const HubListing& listing) {
  std::map<std::string, std::vector<HubFile>> models;
  for (const HubFile& file : listing.files) {
    if (is_gguf_model(file)) models[gguf_part(file.name).stem].push_back(file);
  }
  return models;
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

bool matches(const std::vector<HubFile>& parts, std::string_view selector) {
  return std::any_of(parts.begin(), parts.end(), [&](const HubFile& part) {
    return part.local_name() == selector || quantization_tag(part.name) == upper(selector);
  });
}

/// "id:Q4_K_M, id:Q8_0": by tag where a tag names one model only, else by file.
std::string choices(const std::map<std::string, std::vector<HubFile>>& models,
                    std::string_view id) {
  std::map<std::string, int> uses;
  for (const auto& [stem, parts] : models) ++uses[quantization_tag(parts[0].name).value_or("")];
  std::vector<std::string> names;
  for (const auto& [stem, parts] : models) {
    const std::string tag = quantization_tag(parts[0].name).value_or("");
    names.push_back(
        fmt::format("{}:{}", id, tag.empty() || uses[tag] > 1 ? parts[0].local_name() : tag));
  }
  constexpr size_t kMostShown = 40;
  const size_t left_out = names.size() > kMostShown ? names.size() - kMostShown : 0;
  names.resize(names.size() - left_out);
  return fmt::format("{}{}", fmt::join(names, ", "),
                     left_out > 0 ? fmt::format(" and {} more", left_out) : "");
}

std::vector<HubFile> gguf_files(const HubListing& listing, std::string_view id,
                                std::string_view selector) {
  auto models = gguf_models(listing);
  if (models.empty()) {
    if (!selector.empty())
      fail(ErrorKind::bad_request, "{} has no .gguf file to choose by ':{}'", id, selector);
    fail(ErrorKind::unsupported, "{} has neither .safetensors nor .gguf files in its top folder",
         id);
  }
  const auto all = choices(models, id);
  if (!selector.empty())
    std::erase_if(models, [&](const auto& model) { return !matches(model.second, selector); });
  if (models.empty()) fail(ErrorKind::bad_request, "{} has no '{}'; it has {}", id, selector, all);
  if (models.size() > 1) {
    fail(ErrorKind::bad_request, "{} has several models, name one: {}", id, choices(models, id));
  }
  return models.begin()->second;
}

}  // namespace

HubListing parse_hub_listing(std::string_view text, std::string_view id) {
  const json answer = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto siblings = answer.is_object() ? answer.find("siblings") : answer.end();
  if (!answer.is_object() || siblings == answer.end() || !siblings->is_array()) {
    fail(ErrorKind::io, "{}: the hub's answer lists no files", id);
  }
  HubListing listing{read_hash(answer, "sha", 40, id), {}};
  for (const json& sibling : *siblings) {
    if (!sibling.is_object())
      fail(ErrorKind::io, "{}: the hub's answer lists something that is no file", id);
    listing.files.push_back(read_file(sibling, id));
  }
  return listing;
}

std::vector<HubFile> choose_hub_files(const HubListing& listing, std::string_view id,
                                      std::string_view selector) {
  std::vector<HubFile> chosen;
  if (selector.empty()) chosen = checkpoint_files(listing);
  if (chosen.empty()) chosen = gguf_files(listing, id, selector);
  std::set<std::string> names;
  for (const HubFile& file : chosen) {
    const std::string name = file.local_name();
    if (!is_plain(name)) {
      fail(ErrorKind::io, "{}: '{}' is no file name to store: letters, digits and ._-+=@ only", id,
           name);
    }
    // Upper case: some file systems do not tell "A.json" from "a.json".
    if (!names.insert(upper(name)).second)
      fail(ErrorKind::io, "{}: the hub lists {} twice", id, name);
  }
  return chosen;
}

}  // namespace sluice::engine
