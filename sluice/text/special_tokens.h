#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sluice/text/ffi.h"
#include "sluice/text/tokenizer.h"

namespace sluice::text {

/// What the files beside tokenizer.json say of tokens, with the precedence of transformers 5.
struct SpecialTokenFiles {
  NamedTokens named;
  std::vector<ffi::BesideToken> beside;
};

/// `config` is tokenizer_config.json. Its added_tokens_decoder, where there is one; else
/// special_tokens_map.json, whose names go before the config's, and added_tokens.json. Then the tokens that
/// have a name, and extra_special_tokens (once additional_special_tokens).
SpecialTokenFiles read_special_tokens(const std::filesystem::path& directory,
                                      const nlohmann::json& config);

}  // namespace sluice::text
