#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/cli/cache_prompt.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/output.h"
#include "sluice/cli/prompt_cache_options.h"
#include "sluice/engine/disk_cache/prompt_store.h"

namespace sluice::cli {
namespace {

using engine::PromptStore;

/// Null where nothing was ever kept.
std::unique_ptr<PromptStore> open_store() {
  engine::DiskCacheOptions options = needed_disk_cache(kSharedCache, false);
  if (!std::filesystem::exists(options.folder)) return nullptr;
  return std::make_unique<PromptStore>(std::move(options));
}

nlohmann::json to_json(const engine::CacheEntry& entry) {
  return {{"model", entry.model},
          {"cache", entry.label},
          {"stretches", entry.stretches},
          {"longest_prefix", entry.longest},
          {"bytes", entry.bytes.count},
          {"last_use", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(entry.last_use))}};
}

void print_table(const PromptStore::Summary& summary) {
  size_t width = 5;
  for (const auto& entry : summary.entries) width = std::max(width, entry.model.size());
  std::string table = fmt::format("{:{}}  {:12}  {:>8}  {:>7}  {}\n", "MODEL", width, "CACHE",
                                  "SIZE", "LONGEST", "USED");
  for (const auto& entry : summary.entries) {
    table += fmt::format("{:{}}  {:12}  {:>8}  {:>7}  {:%Y-%m-%d %H:%M}\n", printable(entry.model),
                         width, printable(entry.label), to_string(entry.bytes), entry.longest,
                         fmt::localtime(entry.last_use));
  }
  print(table);
}

void list(const Globals& globals) {
  const auto store = open_store();
  const auto summary = store == nullptr ? PromptStore::Summary{} : store->summary();
  if (globals.json) {
    nlohmann::json entries = nlohmann::json::array();
    for (const auto& entry : summary.entries) entries.push_back(to_json(entry));
    print_json({{"folder", disk_cache_options(true).folder.string()},
                {"bytes", summary.bytes.count},
                {"cap", summary.cap.count},
                {"written_today", summary.written_today.count},
                {"entries", std::move(entries)}});
  } else if (summary.entries.empty()) {
    warn("no prompts on disk yet; `sluice serve` and `sluice run --cache NAME` keep theirs");
  } else {
    print_table(summary);
    note(fmt::format("{} of {} in {}; {} written today", to_string(summary.bytes),
                     to_string(summary.cap), disk_cache_options(true).folder.string(),
                     to_string(summary.written_today)));
  }
}

void clear(const std::vector<std::string>& names, const Globals& globals) {
  const auto store = open_store();
  const auto removed = store == nullptr ? PromptStore::Removed{} : store->clear(names);
  if (globals.json) {
    print_json({{"files", removed.files}, {"bytes", removed.bytes.count}});
  } else {
    print(fmt::format("removed {} files ({})\n", removed.files, to_string(removed.bytes)));
  }
}

void verify(const Globals& globals) {
  const auto store = open_store();
  const auto verdict = store == nullptr ? PromptStore::Verdict{} : store->verify();
  if (globals.json) {
    print_json({{"blocks", verdict.blocks},
                {"damaged", verdict.damaged},
                {"bytes", verdict.bytes.count},
                {"index", verdict.index.empty() ? "ok" : verdict.index}});
  } else {
    print(fmt::format("{} blocks, {} of them damaged; {} are as they were written\n",
                      verdict.blocks, verdict.damaged, to_string(verdict.bytes)));
  }
  if (!verdict.index.empty())
    fail(ErrorKind::io, "the index: {}; `sluice cache clear` begins it anew", verdict.index);
  if (verdict.damaged > 0) {
    fail(ErrorKind::io, "{} of {} blocks are damaged: they are in quarantine, and computed again",
         verdict.damaged, verdict.blocks);
  }
}

}  // namespace

void add_cache(CLI::App& app, Globals& globals) {
  CLI::App& cache = add_command(app, "cache", "What is kept on disk of prompts' keys and values",
                                "sluice cache list\n"
                                "sluice cache prompt my-model --file book.txt --cache book\n"
                                "sluice cache verify\n"
                                "sluice cache clear book");
  cache.require_subcommand(1);
  add_cache_prompt(cache, globals);
  CLI::App& of_list = add_command(cache, "list", "Show what is kept, and how much of it", "");
  add_json_flag(of_list, globals);
  of_list.callback([&globals] { list(globals); });
  CLI::App& of_clear = add_command(cache, "clear", "Delete what is kept", "");
  const auto names = std::make_shared<std::vector<std::string>>();
  of_clear.add_option("CACHE", *names, "As `sluice cache list` calls it (default: all)");
  add_json_flag(of_clear, globals);
  of_clear.callback([names, &globals] { clear(*names, globals); });
  CLI::App& of_verify =
      add_command(cache, "verify", "Read every file, and move damaged ones away", "");
  add_json_flag(of_verify, globals);
  of_verify.callback([&globals] { verify(globals); });
}

}  // namespace sluice::cli
