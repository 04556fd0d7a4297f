#include "sluice/cli/run_prompt.h"

#include "sluice/base/error.h"
#include "sluice/cli/conversation.h"
#include "sluice/cli/text_input.h"

namespace sluice::cli {

void add_prompt_and_model(CLI::App& command, TextPrompt& prompt, ModelOptions& model) {
  add_text_options(command, prompt.text, prompt.file);
  add_model_options(command, model);
  command.get_option("MODEL")->required(false);
  add_prompt_options(command, prompt.options);
  auto* const raw =
      command.add_flag("--raw", prompt.options.raw,
                       "Complete the text as it is, special tokens included, without the chat "
                       "template");
  for (const char* of_a_template : {"--system", "--chat-template", "--chat-template-args"})
    raw->excludes(command.get_option(of_a_template));
}

void set_prompt(const engine::Engine& engine, const TextPrompt& prompt, engine::Request& request) {
  const PromptOptions& o = prompt.options;
  const text::Tokenizer& tokenizer = engine.tokenizer();
  const std::string text = prompt.file.empty() ? prompt.text : read_text(prompt.file);
  const ChatFormat format(tokenizer, engine.chat_template(), o);
  if (o.raw || !format.has_template()) {  // a base model completes the text
    if (!o.system.empty()) {
      fail(ErrorKind::bad_request,
           "--system needs a chat template, and this model has none; give one with "
           "--chat-template");
    }
    const bool parse_special = o.raw || o.allow_special;
    request.tokens = tokenizer.encode(text, {.add_bos = true, .parse_special = parse_special});
    request.continues_text = true;
    return;
  }
  Conversation conversation(o.system);
  conversation.add("user", text);
  request.tokens = format.encode(format.render(conversation.messages()));
}

}  // namespace sluice::cli
