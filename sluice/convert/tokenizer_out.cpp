#include "sluice/convert/tokenizer_out.h"

#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/convert/gguf_tokenizer.h"
#include "sluice/text/chat_template.h"
#include "sluice/text/tokenizer.h"
#include "sluice/text/tokenizer_json.h"

namespace sluice::convert {
namespace {

[[noreturn]] void fail_tokenizer(const SourceModel& gguf, std::string_view why) {
  fail(ErrorKind::unsupported,
       "{}: {}; name a directory that has the model's tokenizer with --tokenizer",
       gguf.path.string(), why);
}

}  // namespace

std::vector<SideFile> tokenizer_files(const SourceModel& gguf) {
  const auto tokenizer = text::Tokenizer::from_gguf(*gguf.gguf);
  nlohmann::ordered_json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                   {"clean_up_tokenization_spaces", false},
                                   {"model_max_length", gguf.config.max_position_embeddings}};
  for (const text::NamedToken& named : tokenizer->named_tokens()) config[named.name] = named.text;
  if (const auto chat = text::ChatTemplate::from_gguf(*gguf.gguf))
    config["chat_template"] = chat->source();
  nlohmann::ordered_json generation = {{"eos_token_id", tokenizer->eos()}};
  if (const auto bos = tokenizer->bos()) generation["bos_token_id"] = *bos;
  std::vector<SideFile> files = {{"tokenizer_config.json", config.dump(2) + "\n"},
                                 {"generation_config.json", generation.dump(2) + "\n"}};
  try {
    files.push_back({"tokenizer.json", text::tokenizer_json(*gguf.gguf)});
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::unsupported) throw;
    fail_tokenizer(gguf, "a tokenizer.json cannot say how its vocabulary joins newlines");
  }
  return files;
}

void check_tokenizer(const SourceModel& gguf, const std::filesystem::path& directory) {
  const auto wanted = text::Tokenizer::from_gguf(*gguf.gguf);
  const auto got = text::Tokenizer::from_directory(directory);
  if (!reads_alike(*wanted, *got) || wanted->eos() != got->eos())
    fail_tokenizer(gguf, "its vocabulary as tokenizer.json would read texts otherwise");
}

}  // namespace sluice::convert
