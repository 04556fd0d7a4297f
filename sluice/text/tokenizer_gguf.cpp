// Opens the vocabulary inside a GGUF. What the keys mean: https://github.com/ggml-org/ggml, docs/gguf.md.
#include <array>

#include "sluice/text/rust_tokenizer.h"

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

rust::Str text(const io::GgufMetadata& metadata, std::string_view key) {
  const auto value = metadata.string(key).value_or("");
  try {
    return {value.data(), value.size()};
  } catch (const std::exception&) {
    fail(ErrorKind::bad_model, "{}: {} is not UTF-8", metadata.where, key);
  }
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

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::from_gguf(const io::Gguf& gguf) {
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

  ffi::GgufVocabulary vocabulary{
      .model = text(m, key("model")),
      .pre = text(m, key("pre")),
      .general_name = text(m, "general.name"),
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
  auto tokenizer = call_rust(m.where, [&] { return ffi::open_gguf_vocabulary(vocabulary); });

  SpecialTokens special;
  if (const Token bos = tokenizer->bos(); bos != kAbsent) special.bos = bos;
  special.adds_bos = tokenizer->adds_bos();
  const auto eos = tokenizer->eos();
  special.eos.assign(eos.begin(), eos.end());
  return std::make_unique<RustTokenizer>(std::move(tokenizer), std::move(special), gguf.mappings);
}

}  // namespace sluice::text
