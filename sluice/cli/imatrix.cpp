#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/base/thread_pool.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/text_input.h"
#include "sluice/convert/collect.h"
#include "sluice/convert/importance.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::cli {
namespace {

struct ImatrixOptions {
  std::string model, file, out;
  convert::CollectOptions collect{.n_threads = 0, .progress = {}};
};

void imatrix(ImatrixOptions o, const Globals& globals) {
  const auto path = engine::ModelStore().resolve(o.model);
  const auto tokens = engine::open_tokenizer(path)->encode(
      read_text(o.file), {.add_bos = true, .parse_special = false});
  if (tokens.empty()) fail(ErrorKind::bad_request, "{}: is empty", o.file);
  if (o.collect.n_threads == 0) o.collect.n_threads = available_processors();
  o.collect.progress = [&](int64_t done, int64_t all) {
    if (!globals.quiet) note(fmt::format("[{}/{}] tokens", done, all));
  };
  const convert::Importance importance = convert::collect_importance(path, tokens, o.collect);
  convert::write_importance(o.out, importance);
  if (globals.json) {
    print_json({{"out", o.out}, {"matrices", importance.size()}, {"tokens", tokens.size()}});
  } else {
    print(fmt::format("{}: {} matrices' columns over {} tokens\n", printable(o.out),
                      importance.size(), tokens.size()));
  }
}

}  // namespace

void add_imatrix(CLI::App& app, Globals& globals) {
  CLI::App& command = add_command(
      app, "imatrix", "Measure which columns of a model's matrices count how much",
      "sluice imatrix my-model --file book.txt --out my-model.imatrix\n"
      "sluice convert my-model my-model.gguf --to gguf --type q3_k --imatrix my-model.imatrix");
  const auto o = std::make_shared<ImatrixOptions>();
  add_model_argument(command, o->model);
  command.get_option("MODEL")->required();
  command.add_option("-f,--file", o->file, "The text, - for stdin")->required()->type_name("FILE");
  command.add_option("-o,--out", o->out, "What is written")->required()->type_name("FILE");
  command.add_option("--ctx", o->collect.window, "Tokens per window (default: 512)")
      ->type_name("N")
      ->check(CLI::Range(4, 1 << 20));
  command.add_option("--threads", o->collect.n_threads, "Threads (default: all processors)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  add_json_flag(command, globals);
  add_quiet_flag(command, globals);
  command.callback([o, &globals] { imatrix(*o, globals); });
}

}  // namespace sluice::cli
