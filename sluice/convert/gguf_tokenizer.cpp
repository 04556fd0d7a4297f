#include "sluice/convert/gguf_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/io/formats/gguf.h"
#include "sluice/io/formats/json_file.h"
#include "sluice/text/chat_template.h"
#include "sluice/text/tokenizer.h"

namespace sluice::convert {
namespace {

/// By their numbers in the file.
enum TokenKind : int32_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

struct Vocabulary {
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> kinds;
  std::vector<float> scores;  ///< of text with byte fallback; else empty
};

bool is_byte_token(const std::string& token) {
  return token.size() == 6 && token.starts_with("<0x") && token.ends_with('>');
}

std::vector<std::string> merges_of(const nlohmann::json& model) {
  std::vector<std::string> merges;
  for (const auto& merge : model.at("merges")) {
    merges.push_back(merge.is_array()
                         ? merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>()
                         : merge.get<std::string>());
  }
  return merges;
}

/// A token's score is the rank of the first merge that makes it, so that the best score is merged first.
std::vector<float> scores_of(const Vocabulary& v) {
  std::map<std::string_view, size_t> ids;
  for (size_t id = 0; id < v.tokens.size(); ++id) ids.try_emplace(v.tokens[id], id);
  std::vector<float> scores(v.tokens.size(), 0);
  for (size_t rank = v.merges.size(); rank-- > 0;) {
    std::string merged = v.merges[rank];
    merged.erase(merged.find(' '), 1);
    const auto found = ids.find(merged);
    if (found != ids.end()) scores[found->second] = -1 - static_cast<float>(rank);
  }
  return scores;
}

/// tokenizer.json's vocabulary, ids without a token filled. Throws nlohmann's exceptions for what is not of its form.
Vocabulary read_vocabulary(const nlohmann::json& tokenizer, int64_t vocab_size,
                           const std::string& where) {
  const nlohmann::json& model = tokenizer.at("model");
  Vocabulary v;
  v.tokens.resize(static_cast<size_t>(vocab_size));
  v.kinds.assign(v.tokens.size(), unused);
  for (size_t id = 0; id < v.tokens.size(); ++id) v.tokens[id] = fmt::format("[PAD{}]", id);
  const auto put = [&](const std::string& token, uint64_t id, TokenKind kind) {
    if (id >= v.tokens.size()) {
      fail(ErrorKind::bad_model, "{}: has token {}, the model's embedding has {} rows", where, id,
           vocab_size);
    }
    v.tokens[id] = token;
    v.kinds[id] = kind;
  };
  const bool falls_back = model.value("byte_fallback", false);
  const std::string unk =
      model.contains("unk_token") && model["unk_token"].is_string() ? model["unk_token"] : "";
  for (const auto& [token, id] : model.at("vocab").items()) {
    const bool is_byte = falls_back && is_byte_token(token);
    put(token, id.get<uint64_t>(), is_byte ? byte : falls_back && token == unk ? unknown : normal);
  }
  if (tokenizer.contains("added_tokens") && tokenizer["added_tokens"].is_array()) {
    for (const auto& added : tokenizer["added_tokens"]) {
      const std::string token = added.at("content");
      const bool special = added.value("special", false);
      put(token, added.at("id").get<uint64_t>(),
          falls_back && token == unk ? unknown
          : special                  ? control
                                     : user_defined);
    }
  }
  v.merges = merges_of(model);
  if (falls_back) v.scores = scores_of(v);
  return v;
}

void add_special(GgufPairs& pairs, const text::Tokenizer& tokenizer) {
  if (const auto bos = tokenizer.bos())
    pairs.add("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(*bos));
  constexpr std::array<std::string_view, 3> kEnds = {"eos", "eot", "eom"};
  const std::vector<text::Token>& eos = tokenizer.eos();
  for (size_t i = 0; i < std::min(eos.size(), kEnds.size()); ++i)
    pairs.add(fmt::format("tokenizer.ggml.{}_token_id", kEnds[i]), static_cast<uint32_t>(eos[i]));
  for (const text::NamedToken& named : tokenizer.named_tokens()) {
    const std::string_view key = named.name == "unk_token"   ? "unknown"
                                 : named.name == "pad_token" ? "padding"
                                                             : "";
    const auto id = tokenizer.token_id(named.text);
    if (!key.empty() && id)
      pairs.add(fmt::format("tokenizer.ggml.{}_token_id", key), static_cast<uint32_t>(*id));
  }
  pairs.add("tokenizer.ggml.add_bos_token", tokenizer.adds_bos());
}

/// Writings that pre-tokenizers cut apart in ways of their own.
constexpr std::array<std::string_view, 9> kTexts = {
    "Hello, world! It's 12345678 o'clock; I'LL pay $3.50 (or 1,000,000 kr.).",
    " leading space\n\n\n  indented\ttabbed \r\n    trailing   ",
    "def f(x_1, y=2):\n        return x_1**2 // y  # comment?!\n\n\nclass A: pass\n",
    "\xC3\x9Cn\xC3\xAF\x63\xC3\xB6"
    "de \xE2\x85\xA8 na\xC3\xAFve fa\xC3\xA7"
    "ade co\xC3\xB6perate 3\xC2\xBD",
    "\xE6\xBC\xA2\xE5\xAD\x97\xE3\x81\x8B\xE3\x81\xAA\xED\x95\x9C\xEA\xB5\xAD\xEC\x96\xB4 "
    "2024\xE5\xB9\xB4\xEF\xBC\x8C\xE4\xBD\xA0\xE5\xA5\xBD",
    "\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82, \xD9\x85\xD8\xB1\xD8\xAD\xD8\xA8\xD8\xA7 "
    "\xF0\x9F\x98\x80\xF0\x9F\x91\x8D\xF0\x9F\x8F\xBD \xE2\x80\xA6 "
    "\xE0\xB8\xAA\xE0\xB8\xA7\xE0\xB8\xB1\xE0\xB8\xAA\xE0\xB8\x94\xE0\xB8\xB5",
    "camelCaseWords ABCdef HTTPServer don't DON'T we'Ve a/b\\c <tag attr=\"v\"/> {{x}} [[y]] "
    "...---...",
    "1 12 123 1234 12345 3.14159 0xFF 1e-9 50% #hash @name a_b __init__ ~/path/to.file",
    "",
};

/// Whether what was written reads texts as tokenizer.json does.
bool reads_alike(const text::Tokenizer& wanted, const GgufPairs& pairs, const std::string& where) {
  Plan empty;
  lay_out_gguf(empty, "vocabulary", pairs);
  io::Gguf gguf;
  gguf.metadata.where = where;
  io::read_gguf_header(std::as_bytes(std::span(empty.files[0].header)), where, 0, gguf);
  try {
    return convert::reads_alike(wanted, *text::Tokenizer::from_gguf(gguf));
  } catch (const Error&) {
    return false;
  }
}

/// One of each kind of llama.cpp's pre-tokenizers, the usual ones first.
constexpr std::array<std::string_view, 26> kPreTokenizers = {
    "gpt-2",     "llama-bpe",  "qwen2",    "smollm",     "deepseek-v3",  "tekken",
    "gpt-4o",    "glm4",       "qwen35",   "dbrx",       "deepseek-llm", "deepseek-coder",
    "default",   "seed-coder", "kimi-k2",  "bailingmoe", "youtu",        "falcon",
    "poro-chat", "viking",     "tiny_aya", "superbpe",   "minicpm5",     "exaone-moe",
    "afmoe",     "gemma4"};

struct Variant {
  std::string_view pre;
  bool adds_space;
};

GgufPairs with_variant(const GgufPairs& common, const Vocabulary& v, const Variant& variant) {
  GgufPairs pairs = common;
  pairs.add("tokenizer.ggml.pre", variant.pre);
  if (!v.scores.empty()) pairs.add("tokenizer.ggml.add_space_prefix", variant.adds_space);
  return pairs;
}

}  // namespace

bool reads_alike(const text::Tokenizer& a, const text::Tokenizer& b) {
  return std::ranges::all_of(
      kTexts, [&](std::string_view text) { return a.encode(text, {}) == b.encode(text, {}); });
}

void add_tokenizer(GgufPairs& pairs, const std::filesystem::path& directory, int64_t vocab_size) {
  const auto path = directory / "tokenizer.json";
  const std::string where = path.string();
  const auto tokenizer = text::Tokenizer::from_directory(directory);
  Vocabulary v;
  try {
    const nlohmann::json json = io::read_json_file(path);
    if (json.at("model").value("type", "BPE") != "BPE") {
      fail(ErrorKind::unsupported, "{}: is {}, GGUF files are written of BPE only", where,
           json["model"]["type"].dump());
    }
    v = read_vocabulary(json, vocab_size, where);
  } catch (const nlohmann::json::exception&) {
    fail(ErrorKind::bad_model, "{}: has no vocabulary of BPE's form", where);
  }
  GgufPairs common;
  common.add("tokenizer.ggml.model", std::string_view(v.scores.empty() ? "gpt2" : "llama"));
  common.add("tokenizer.ggml.tokens", std::span<const std::string>(v.tokens));
  common.add("tokenizer.ggml.token_type", std::span<const int32_t>(v.kinds));
  if (v.scores.empty()) {
    common.add("tokenizer.ggml.merges", std::span<const std::string>(v.merges));
  } else {
    common.add("tokenizer.ggml.scores", std::span<const float>(v.scores));
  }
  add_special(common, *tokenizer);
  std::vector<Variant> variants = {{"default", false}, {"default", true}};
  if (v.scores.empty()) {
    variants.clear();
    for (const std::string_view pre : kPreTokenizers) variants.push_back({pre, false});
  }
  for (const Variant& variant : variants) {
    const GgufPairs found = with_variant(common, v, variant);
    if (!reads_alike(*tokenizer, found, where)) continue;
    pairs.add_raw(found.bytes(), found.count());
    if (const auto chat = text::ChatTemplate::from_directory(directory))
      pairs.add("tokenizer.chat_template", std::string_view(chat->source()));
    return;
  }
  fail(ErrorKind::unsupported,
       "{}: no pre-tokenizer that GGUF files name gives its tokens; convert to MLX instead", where);
}

}  // namespace sluice::convert
