#include "sluice/cli/cache_prompt.h"

#include <fmt/format.h>

#include <chrono>

#include "sluice/base/error.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/prompt_cache_options.h"
#include "sluice/cli/run_prompt.h"
#include "sluice/cli/signals.h"

namespace sluice::cli {
namespace {

struct CachePromptOptions {
  ModelOptions model;
  TextPrompt prompt;
  std::string cache = kSharedCache;
};

/// Whoever asks for it waits for all of it.
constexpr std::chrono::hours kLong{1};

void prepare(const CachePromptOptions& o, const Globals& globals) {
  ModelOptions model = o.model;
  model.engine.disk_cache = needed_disk_cache(o.cache, globals.quiet);
  model.engine.disk_cache.even_if_slower = true;  // whether to read it is decided when it is wanted
  OpenModel engine(model, globals.quiet);
  if (!engine->disk_cache()) {
    fail(ErrorKind::io, "the disk cache in {} cannot be used",
         model.engine.disk_cache.folder.string());
  }
  engine::Session session(*engine, salt_of(o.cache));
  engine::Request request;
  set_prompt(*engine, o.prompt, request);
  const Cancellation cancellation(Cancellation::Of::all);
  request.max_tokens = 0;
  request.cancel = &cancellation.asked();
  const engine::Result result = session.generate(request, [](const engine::Event&) {});
  engine->flush_disk_cache(kLong);
  engine.finish();
  const engine::DiskCacheReport report = *engine->disk_cache();
  constexpr int64_t kStretch = kernels::kKvBlockTokens;
  const int64_t kept = report.blocks_refused > 0 ? 0 : result.n_held / kStretch * kStretch;
  if (globals.json) {
    print_json({{"cache", o.cache},
                {"prompt_tokens", result.prompt_tokens},
                {"kept_tokens", kept},
                {"bytes_written", report.written.count},
                {"prefill_tps", result.prefill_tps()}});
  } else if (report.blocks_refused == 0) {
    print(fmt::format("{} of {} tokens are kept in {} ({} written)\n", kept, result.prompt_tokens,
                      o.cache, to_string(report.written)));
  }
  if (report.blocks_refused > 0) {
    fail(ErrorKind::io,
         "the prompt was not kept whole: the disk is full, or the cache's cap or today's writes "
         "are used up (`sluice cache list`)");
  }
  if (kept == 0 && !globals.quiet) {
    note(fmt::format("prompts are kept in stretches of {} tokens; this one has {}", kStretch,
                     result.prompt_tokens));
  }
}

}  // namespace

void add_cache_prompt(CLI::App& cache, Globals& globals) {
  CLI::App& command = add_command(
      cache, "prompt", "Compute a prompt ahead, for `sluice run --cache` to begin with at once",
      "sluice cache prompt my-model --file book.txt --cache book\n"
      "cat book.txt question.txt | sluice run my-model --cache book --file -");
  const auto o = std::make_shared<CachePromptOptions>();
  add_prompt_and_model(command, o->prompt, o->model);
  command
      .add_option("--cache", o->cache,
                  "Where to keep it: a name, or shared, where a server's clients find it too "
                  "(default: shared)")
      ->type_name("CACHE")
      ->check(cache_name());
  add_json_flag(command, globals);
  add_quiet_flag(command, globals);
  command.callback([o, &globals] { prepare(*o, globals); });
}

}  // namespace sluice::cli
