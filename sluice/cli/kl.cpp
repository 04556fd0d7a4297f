#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/text_input.h"
#include "sluice/cli/text_windows.h"
#include "sluice/convert/divergence.h"
#include "sluice/residency/machine/memory.h"

namespace sluice::cli {
namespace {

struct KlOptions {
  ModelOptions model;
  std::string other, file;
  int64_t window = 512, most_windows = 16;
};

/// The first model's logits, on disk until the second one has its own: both in memory at once would halve --ram.
class KeptLogits {
 public:
  KeptLogits() : file_(std::tmpfile()) {
    if (!file_)
      fail(ErrorKind::io, "a temporary file cannot be made; set TMPDIR to a place for it");
  }
  void put(std::span<const float> row) {
    if (std::fwrite(row.data(), sizeof(float), row.size(), file_.get()) != row.size())
      fail(ErrorKind::io, "the temporary file of logits cannot be written; is its disk full?");
  }
  void rewind() { std::rewind(file_.get()); }
  void get(std::span<float> row) {
    if (std::fread(row.data(), sizeof(float), row.size(), file_.get()) != row.size())
      fail(ErrorKind::io, "the temporary file of logits cannot be read");
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file_;
};

void report(const convert::Divergence::Summary& s, const KlOptions& o, const Globals& globals) {
  if (globals.json) {
    print_json({{"kl",
                 {{"mean", s.mean},
                  {"median", s.median},
                  {"p90", s.p90},
                  {"p99", s.p99},
                  {"max", s.most}}},
                {"same_top", s.same_top},
                {"ppl", {s.perplexity_a, s.perplexity_b}},
                {"predictions", s.n},
                {"peak_rss_bytes", peak_rss_bytes()}});
    return;
  }
  print(
      fmt::format("KL divergence  mean {:.6f}, median {:.6f}, 90% {:.6f}, 99% {:.6f}, most {:.6f}\n"
                  "same top token {:.2f}% of {} predictions\n"
                  "perplexity     {:.4f} of {}, {:.4f} of {}\n",
                  s.mean, s.median, s.p90, s.p99, s.most, 100 * s.same_top, s.n, s.perplexity_a,
                  printable(o.model.model), s.perplexity_b, printable(o.other)));
}

void kl(KlOptions o, const Globals& globals) {
  o.model.engine.context = o.window;
  o.model.engine.keep_prefixes = false;
  residency::give_back_freed_memory();
  const std::string text = read_text(o.file);
  KeptLogits kept;
  std::optional<TextWindows> windows;
  int64_t vocab_size = 0;
  {
    ModelOptions first = o.model;  // the reference, so never in fewer bits
    first.engine.load.kv_code = {};
    first.engine.load.state_type = kernels::KvType::f32;
    OpenModel a(first, globals.quiet);
    windows.emplace(*a, text, o.file, o.window, o.most_windows);
    vocab_size = a->config().vocab_size;
    for (int64_t w = 0; w < windows->count(); ++w) {
      windows->each_prediction(*a, w,
                               [&](std::span<const float> row, text::Token) { kept.put(row); });
      if (!globals.quiet) note(fmt::format("[{}/{}] first model", w + 1, windows->count()));
    }
    a.finish();
  }
  kept.rewind();
  ModelOptions second = o.model;
  second.model = o.other;
  OpenModel b(second, globals.quiet);
  if (b->config().vocab_size != vocab_size ||
      TextWindows(*b, text, o.file, o.window, o.most_windows) != *windows) {
    fail(ErrorKind::bad_request,
         "{} and {} do not read the text as the same tokens; only such models can be compared",
         o.model.model, o.other);
  }
  convert::Divergence divergence;
  std::vector<float> row_a(static_cast<size_t>(vocab_size));
  for (int64_t w = 0; w < windows->count(); ++w) {
    windows->each_prediction(*b, w, [&](std::span<const float> row, text::Token next) {
      kept.get(row_a);
      divergence.add(row_a, row, next);
    });
    if (!globals.quiet)
      note(fmt::format("[{}/{}] {:.6f}", w + 1, windows->count(), divergence.mean()));
  }
  b.finish();
  report(divergence.summary(), o, globals);
}

}  // namespace

void add_kl(CLI::App& app, Globals& globals) {
  CLI::App& command = add_command(
      app, "kl", "Measure how far a model's predictions are from another's",
      "sluice kl my-model my-model-4bit --file book.txt\n"
      "sluice kl my-model.gguf my-model-4bit --file book.txt --ctx 2048 --windows 4 --json");
  const auto o = std::make_shared<KlOptions>();
  add_engine_options(command, o->model);
  command.get_option("MODEL")->required();
  command.add_option("OTHER", o->other, "The model that is compared with it, as MODEL")->required();
  command.add_option("-f,--file", o->file, "The text, - for stdin")->required()->type_name("FILE");
  command.add_option("--ctx", o->window, "Tokens per window (default: 512)")
      ->type_name("N")
      ->check(CLI::Range(4, 1 << 20));
  command
      .add_option("--windows", o->most_windows,
                  "Windows at most (default: 16); logits of half a window each wait on disk")
      ->type_name("N")
      ->check(at_least(1));
  add_json_flag(command, globals);
  add_quiet_flag(command, globals);
  command.callback([o, &globals] { kl(*o, globals); });
}

}  // namespace sluice::cli
