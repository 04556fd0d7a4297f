#include <fmt/format.h>

#include "sluice/base/printable.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/text_input.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::cli {
namespace {

struct TokenizeOptions {
  std::string model;
  std::string text;
  std::string file;
  bool no_bos = false;
};

void tokenize(const TokenizeOptions& o, const Globals& globals) {
  const auto tokenizer = engine::open_tokenizer(engine::ModelStore().resolve(o.model));
  const std::string text = o.file.empty() ? o.text : read_text(o.file);
  const auto tokens = tokenizer->encode(text, {.add_bos = !o.no_bos, .parse_special = true});
  if (globals.json) {
    print_json({{"tokens", tokens}});
    return;
  }
  std::string table;
  for (const text::Token token : tokens) {
    table += fmt::format("{:>8}  {}{}\n", token, token_piece(*tokenizer, token),
                         tokenizer->is_special(token) ? "  control" : "");
  }
  print(table);
}

}  // namespace

void add_tokenize(CLI::App& app, Globals& globals) {
  CLI::App& command =
      add_command(app, "tokenize", "Show a text's tokens",
                  "sluice tokenize gemma-3-270m-q4_k_m -p \"Hello world\"\n"
                  "sluice tokenize my-model --file book.txt --json | jq '.tokens | length'");
  const auto o = std::make_shared<TokenizeOptions>();
  add_model_argument(command, o->model);
  add_text_options(command, o->text, o->file);
  command.add_flag("--no-bos", o->no_bos, "Without the tokens that the model's tokenizer adds");
  add_json_flag(command, globals);
  command.callback([o, &globals] { tokenize(*o, globals); });
}

}  // namespace sluice::cli
