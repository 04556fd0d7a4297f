#pragma once

#include <filesystem>

#include "sluice/convert/gguf_out.h"
#include "sluice/text/tokenizer.h"

namespace sluice::convert {

/// Writes a directory's tokenizer and chat template as GGUF metadata: byte-level BPE ("gpt2"), or BPE over text with byte fallback
/// ("llama"), whose scores are the ranks of merges. Which pre-tokenizer it has, is found by trying: the vocabulary that is written
/// gives texts of many kinds the same tokens as tokenizer.json does. vocab_size: rows of the embedding, at least as many as tokens.
/// Throws Error(unsupported) when none does, Error(bad_model).
void add_tokenizer(GgufPairs& pairs, const std::filesystem::path& directory, int64_t vocab_size);

/// Whether both make the same tokens of texts of many kinds.
bool reads_alike(const text::Tokenizer& a, const text::Tokenizer& b);

}  // namespace sluice::convert
