#pragma once

#include <string>

#include "sluice/io/formats/gguf.h"

namespace sluice::text {

/// The vocabulary inside a GGUF as Hugging Face's tokenizer.json. Throws as Tokenizer::from_gguf(), and Error(unsupported) for
/// what that cannot say.
std::string tokenizer_json(const io::Gguf& gguf);

}  // namespace sluice::text
