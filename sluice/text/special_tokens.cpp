#include "sluice/text/special_tokens.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <map>
#include <optional>
#include <set>

#include "sluice/text/model_json.h"

namespace sluice::text {
namespace {

using Json = nlohmann::json;

constexpr std::array kNames = {"bos_token", "eos_token", "unk_token", "sep_token",
                               "pad_token", "cls_token", "mask_token"};

bool flag(const Json& token, const char* name, bool otherwise) {
  const auto found = token.is_object() ? token.find(name) : token.end();
  return found != token.end() && found->is_boolean() ? found->get<bool>() : otherwise;
}

/// "<s>" or {"content": "<s>", "lstrip": ...}; nullopt for anything else, and for an empty text.
std::optional<ffi::BesideToken> read_token(const Json& token, bool special, bool only_if_new) {
  const Json* text = &token;
  if (token.is_object()) {
    const auto content = token.find("content");
    if (content == token.end()) return std::nullopt;
    text = &*content;
  }
  if (!text->is_string() || text->get_ref<const std::string&>().empty()) return std::nullopt;
  special = special || flag(token, "special", false);
  return ffi::BesideToken{.content = text->get<std::string>(),
                          .single_word = flag(token, "single_word", false),
                          .lstrip = flag(token, "lstrip", false),
                          .rstrip = flag(token, "rstrip", false),
                          .normalized = flag(token, "normalized", !special),
                          .special = special,
                          .only_if_new = only_if_new};
}

void name(NamedTokens& named, const std::string& key, const Json& token) {
  const auto read = read_token(token, true, true);
  if (!read) return;
  const std::string text(read->content);
  const auto known = std::find_if(named.begin(), named.end(),
                                  [&](const NamedToken& other) { return other.name == key; });
  if (known == named.end()) {
    named.push_back({key, text});
  } else {
    known->text = text;
  }
}

/// The tokens that a file gives names: bos_token and so on first, then others such as image_token.
void name_all(const Json& file, NamedTokens& named) {
  for (const char* key : kNames)
    if (const auto found = file.find(key); found != file.end()) name(named, key, *found);
  for (const auto& [key, token] : file.items())
    if (key.ends_with("_token")) name(named, key, token);
}

using Tokens = std::vector<ffi::BesideToken>;

/// The first of these members that says something.
const Json& member(const Json& file, std::initializer_list<const char*> keys) {
  static const Json kNone;
  for (const char* key : keys)
    if (const auto found = file.find(key); found != file.end() && !found->empty()) return *found;
  return kNone;
}

/// extra_special_tokens: a list, or an object of named ones.
void add_extra(const Json& file, NamedTokens& named, Tokens& extra) {
  const Json& tokens = member(file, {"extra_special_tokens", "additional_special_tokens"});
  if (tokens.is_object()) {
    for (const auto& [key, token] : tokens.items()) name(named, key, token);
  } else if (tokens.is_array()) {
    for (const Json& token : tokens)
      if (auto read = read_token(token, true, true)) extra.push_back(std::move(*read));
  }
}

/// In the order of the ids, in which new tokens get theirs.
using TokensById = std::map<int64_t, ffi::BesideToken>;

/// added_tokens_decoder: {"259": {"content": "<x>", ...}, ...}.
TokensById read_decoder(const Json& decoder, const std::set<std::string>& special) {
  TokensById by_id;
  for (const auto& [key, token] : decoder.items()) {
    int64_t id = 0;
    if (std::from_chars(key.data(), key.data() + key.size(), id).ec != std::errc{}) continue;
    const bool is_special = special.contains(token_text(decoder, key.c_str()));
    if (auto read = read_token(token, is_special, false))
      by_id.insert_or_assign(id, std::move(*read));
  }
  return by_id;
}

/// added_tokens.json: {"<x>": 259, ...}.
TokensById read_added(const Json& added, const std::set<std::string>& special) {
  TokensById by_id;
  for (const auto& [text, id] : added.items()) {
    if (!id.is_number_integer()) continue;
    if (auto read = read_token(text, special.contains(text), true))
      by_id.insert_or_assign(id.get<int64_t>(), std::move(*read));
  }
  return by_id;
}

std::set<std::string> texts(const NamedTokens& named, const Tokens& extra) {
  std::set<std::string> all;
  for (const NamedToken& token : named) all.insert(token.text);
  for (const ffi::BesideToken& token : extra) all.insert(std::string(token.content));
  return all;
}

}  // namespace

SpecialTokenFiles read_special_tokens(const std::filesystem::path& directory, const Json& config) {
  SpecialTokenFiles files;
  Tokens extra;
  TokensById by_id;
  name_all(config, files.named);
  add_extra(config, files.named, extra);
  if (const auto decoder = config.find("added_tokens_decoder"); decoder != config.end()) {
    by_id = read_decoder(*decoder, texts(files.named, {}));
  } else {
    const Json map = read_json_if_present(directory / "special_tokens_map.json");
    name_all(map, files.named);
    add_extra(map, files.named, extra);
    by_id = read_added(read_json_if_present(directory / "added_tokens.json"),
                       texts(files.named, extra));
  }
  for (auto& [id, token] : by_id) files.beside.push_back(std::move(token));
  for (const NamedToken& token : files.named)
    if (auto read = read_token(token.text, true, true)) files.beside.push_back(std::move(*read));
  std::move(extra.begin(), extra.end(), std::back_inserter(files.beside));
  return files;
}

}  // namespace sluice::text
