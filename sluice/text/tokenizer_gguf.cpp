// Opens the vocabulary inside a GGUF. What the keys mean: https://github.com/ggml-org/ggml, docs/gguf.md.
#include <algorithm>
#include <array>

#include "sluice/text/rust_tokenizer.h"
#include "sluice/text/tokenizer_json.h"

namespace sluice::text {
namespace {

constexpr Token kAbsent = -1;

/// An id, or kAbsent when the key is missing or names no token that could exist.
Token id(const io::GgufMetadata& metadata, std::string_view key) {
  const auto value = metadata.integer(key);
  return value && *value >= 0 && *value <= INT32_MAX ? static_cast<Token>(*value) : kAbsent;
}

int flag(const io::GgufMetadata& metadata, std::string_view key) {
  const auto value = metadata.boolean(key);
  return value ? int{*value} : kAbsent;
}

/// Text with U+FFFD for what is no UTF-8: a name that is not must not stop a run.
std::string utf8(std::string_view bytes) {
  Utf8Stream stream;
  std::string text = stream.push(bytes);
  return text + stream.finish();
}

std::string text(const io::GgufMetadata& metadata, std::string_view key) {
  return utf8(metadata.string(key).value_or(""));
}

/// An array's bytes in the file, or none when it is absent.
io::GgufArray array(const io::GgufMetadata& metadata, std::string_view key,
                    std::span<const io::GgufType> elements) {
  auto value = metadata.array(key);
  if (!value) return {.element = elements.front(), .count = 0, .bytes = {}};
  for (const io::GgufType element : elements)
    if (value->element == element) return *value;
  fail(ErrorKind::bad_model, "{}: {} has elements of another type than expected", metadata.where,
       key);
}

/// The tokens that the file names. What it does not name and SentencePiece implies is added.
NamedTokens read_named(const io::GgufMetadata& metadata, const ffi::Tokenizer& tokenizer) {
  const auto eos = tokenizer.eos();
  const std::array<std::pair<const char*, Token>, 7> ids = {{
      {"bos_token", tokenizer.bos()},
      {"eos_token", eos.empty() ? kAbsent : eos.front()},
      {"unk_token", tokenizer.unknown()},
      {"sep_token", id(metadata, "tokenizer.ggml.seperator_token_id")},  // as the format spells it
      {"pad_token", id(metadata, "tokenizer.ggml.padding_token_id")},
      {"cls_token", id(metadata, "tokenizer.ggml.cls_token_id")},
      {"mask_token", id(metadata, "tokenizer.ggml.mask_token_id")},
  }};
  NamedTokens named;
  for (const auto& [name, token] : ids) {
    const auto bytes = tokenizer.token_bytes(token, true);
    const std::string text = utf8({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    if (!text.empty()) named.push_back({name, text});
  }
  return named;
}

rust::Box<ffi::Tokenizer> open_vocabulary(const io::Gguf& gguf) {
  using io::GgufType;
  static constexpr std::array kString = {GgufType::string};
  static constexpr std::array kInteger = {GgufType::i32, GgufType::u32};
  static constexpr std::array kFloat = {GgufType::f32};
  const auto& m = gguf.metadata;
  const std::string prefix = "tokenizer.ggml.";
  const auto key = [&](std::string_view name) { return prefix + std::string(name); };

  const auto tokens = array(m, key("tokens"), kString);
  const auto merges = array(m, key("merges"), kString);
  if (tokens.count == 0) fail(ErrorKind::bad_model, "{}: has no {}", m.where, key("tokens"));

  const std::string model = text(m, key("model")), pre = text(m, key("pre")),
                    general_name = text(m, "general.name");
  ffi::GgufVocabulary vocabulary{
      .model = model,
      .pre = pre,
      .general_name = general_name,
      .bos_id = id(m, key("bos_token_id")),
      .unknown_id = id(m, key("unknown_token_id")),
      .eos_ids = {},
      .add_bos = flag(m, key("add_bos_token")),
      .add_eos = flag(m, key("add_eos_token")),
      .add_space_prefix = flag(m, key("add_space_prefix")),
      .tokens = slice(tokens.bytes),
      .n_tokens = tokens.count,
      .merges = slice(merges.bytes),
      .n_merges = merges.count,
      .token_types = slice(array(m, key("token_type"), kInteger).bytes),
      .scores = slice(array(m, key("scores"), kFloat).bytes),
  };
  for (const char* name : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
    const Token eos = id(m, key(name));
    if (eos != kAbsent) vocabulary.eos_ids.push_back(eos);
  }
  return call_rust(m.where, [&] { return ffi::open_gguf_vocabulary(vocabulary); });
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::from_gguf(const io::Gguf& gguf) {
  auto tokenizer = open_vocabulary(gguf);
  SpecialTokens special;
  if (const Token bos = tokenizer->bos(); bos != kAbsent) special.bos = bos;
  special.adds_bos = tokenizer->adds_bos();
  const auto eos = tokenizer->eos();
  special.eos.assign(eos.begin(), eos.end());
  // Of gpt-oss's two ends its files name one.
  const Token call = tokenizer->token_id(slice("<|call|>")),
              said = tokenizer->token_id(slice("<|return|>"));
  if (call >= 0 && std::ranges::find(special.eos, said) != special.eos.end() &&
      std::ranges::find(special.eos, call) == special.eos.end())
    special.eos.push_back(call);
  special.named = read_named(gguf.metadata, *tokenizer);
  return std::make_unique<RustTokenizer>(std::move(tokenizer), std::move(special), gguf.mappings);
}

std::string tokenizer_json(const io::Gguf& gguf) {
  const auto tokenizer = open_vocabulary(gguf);
  return std::string(call_rust(gguf.metadata.where, [&] { return tokenizer->to_json(); }));
}

}  // namespace sluice::text
