// Opens tokenizer.json with what the files beside it say about special tokens.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "sluice/io/formats/json_file.h"
#include "sluice/io/mapped_file.h"
#include "sluice/text/model_json.h"
#include "sluice/text/rust_tokenizer.h"

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
std::vector<Token> eos_ids(const std::filesystem::path& directory, const Json& tokenizer_config,
                           const ffi::Tokenizer& tokenizer) {
  std::vector<Token> ids;
  add_ids(read_json_if_present(directory / "generation_config.json"), ids);
  if (ids.empty()) {
    const Json config = read_json_if_present(directory / "config.json");
    add_ids(config, ids);
    if (const auto text = config.find("text_config"); text != config.end()) add_ids(*text, ids);
  }
  const Token own = tokenizer.token_id(slice(token_text(tokenizer_config, "eos_token")));
  if (own >= 0 && std::find(ids.begin(), ids.end(), own) == ids.end()) ids.push_back(own);
  return ids;
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::from_directory(const std::filesystem::path& directory) {
  const auto path = directory / "tokenizer.json";
  const auto file = io::MappedFile::open(path);
  auto special = call_rust(path.string(), [&] {
    auto tokenizer = ffi::open_tokenizer_json(slice(file->bytes()));
    if (file->changed()) fail(ErrorKind::io, "{}: became shorter while it was read", path.string());

    const Json config = read_json_if_present(directory / "tokenizer_config.json");
    SpecialTokens tokens;
    tokens.eos = eos_ids(directory, config, *tokenizer);
    const Token bos = tokenizer->token_id(slice(token_text(config, "bos_token")));
    if (bos >= 0) tokens.bos = bos;
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
