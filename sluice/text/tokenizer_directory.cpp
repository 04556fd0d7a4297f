// Opens tokenizer.json with what the files beside it say about special tokens.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "sluice/io/lfs_pointer.h"
#include "sluice/io/mapped_file.h"
#include "sluice/text/model_json.h"
#include "sluice/text/rust_tokenizer.h"
#include "sluice/text/special_tokens.h"

namespace sluice::text {
namespace {

using Json = nlohmann::json;

/// eos_token_id: a number, or a list of them.
void add_ids(const Json& object, std::vector<Token>& ids) {
  const auto found = object.find("eos_token_id");
  if (found == object.end()) return;
  const auto add = [&](const Json& value) {
    if (!value.is_number_integer()) return;
    const auto id = value.get<int64_t>();
    const bool known = std::find(ids.begin(), ids.end(), id) != ids.end();
    if (id >= 0 && id <= INT32_MAX && !known) ids.push_back(static_cast<Token>(id));
  };
  if (found->is_array()) {
    for (const Json& value : *found) add(value);
  } else {
    add(*found);
  }
}

/// The ids that end a generation: generation_config.json's, else config.json's; and the tokenizer's own.
std::vector<Token> eos_ids(const std::filesystem::path& directory, std::optional<Token> own) {
  std::vector<Token> ids;
  add_ids(read_json_if_present(directory / "generation_config.json"), ids);
  if (ids.empty()) {
    const Json config = read_json_if_present(directory / "config.json");
    add_ids(config, ids);
    if (const auto text = config.find("text_config"); text != config.end()) add_ids(*text, ids);
  }
  if (own && std::find(ids.begin(), ids.end(), *own) == ids.end()) ids.push_back(*own);
  return ids;
}

std::optional<Token> named_id(const NamedTokens& named, std::string_view name,
                              const ffi::Tokenizer& tokenizer) {
  for (const NamedToken& token : named) {
    if (token.name != name) continue;
    const Token id = tokenizer.token_id(slice(token.text));
    if (id >= 0) return id;
  }
  return std::nullopt;
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::from_directory(const std::filesystem::path& directory) {
  const auto path = directory / "tokenizer.json";
  const auto file = io::MappedFile::open(path);
  auto special = call_rust(path.string(), [&] {
    io::refuse_lfs_pointer(file->bytes(), path.string());
    const Json config = read_json_if_present(directory / "tokenizer_config.json");
    SpecialTokenFiles files = read_special_tokens(directory, config);
    auto tokenizer =
        ffi::open_tokenizer_json(slice(file->bytes()), {files.beside.data(), files.beside.size()});
    if (file->changed()) fail(ErrorKind::io, "{}: became shorter while it was read", path.string());

    SpecialTokens tokens;
    tokens.named = std::move(files.named);
    tokens.eos = eos_ids(directory, named_id(tokens.named, "eos_token", *tokenizer));
    tokens.bos = named_id(tokens.named, "bos_token", *tokenizer);
    // The post-processor decides: what it puts before a text that begins with no token of its own.
    const auto with = tokenizer->encode(slice("a"), true, true);
    const auto without = tokenizer->encode(slice("a"), false, true);
    const bool adds = with.size() > without.size() && (without.empty() || with[0] != without[0]);
    if (adds && !tokens.bos) tokens.bos = with[0];
    tokens.adds_bos = adds && with[0] == *tokens.bos;
    return std::pair(std::move(tokenizer), std::move(tokens));
  });
  return std::make_unique<RustTokenizer>(std::move(special.first), std::move(special.second),
                                         RustTokenizer::Mappings{});
}

}  // namespace sluice::text
