#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "sluice/cli/model_options.h"
#include "sluice/engine/request.h"

namespace sluice::cli {

/// One text that a command has the model go on after.
struct TextPrompt {
  PromptOptions options;
  std::string text;
  std::string file;  ///< instead of text
};

/// The text, the model (optional: then it is the default one), and how the text is put to it. --raw excludes what a
/// template needs.
void add_prompt_and_model(CLI::App& command, TextPrompt& prompt, ModelOptions& model);

/// Puts its tokens into the request: as a user's message where there is a template, else the text as it is. Throws
/// Error(bad_request) for options that the model cannot honour.
void set_prompt(const engine::Engine& engine, const TextPrompt& prompt, engine::Request& request);

}  // namespace sluice::cli
