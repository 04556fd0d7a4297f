#include "sluice/engine/embed.h"

#include <fmt/format.h>

#include <sstream>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/npy.h"
#include "sluice/cli/output.h"
#include "sluice/cli/residency_report.h"
#include "sluice/cli/text_input.h"
#include "sluice/decode/pooler.h"
#include "sluice/engine/residency_json.h"

namespace sluice::cli {
namespace {

struct EmbedOptions {
  ModelOptions model;
  std::string text, file, out;
  bool lines = false;
  int64_t dimensions = 0;  // 0: all
};

/// One text, or each line that is not empty.
std::vector<std::string> texts_of(const EmbedOptions& o) {
  const std::string whole = o.file.empty() ? o.text : read_text(o.file);
  if (!o.lines) return {whole};
  std::vector<std::string> texts;
  std::istringstream in(whole);
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) texts.push_back(std::move(line));
  }
  return texts;
}

std::vector<std::vector<float>> vectors_of(engine::Engine& engine,
                                           std::span<const std::vector<text::Token>> tokens,
                                           int64_t dimensions) {
  const int64_t width = engine.config().hidden_size;
  if (dimensions > width)
    fail(ErrorKind::bad_request, "--dimensions is {}, the model's vectors have {}", dimensions,
         width);
  auto vectors = engine::embed(engine, tokens);
  if (dimensions > 0) {
    for (auto& vector : vectors) vector = decode::shortened(vector, dimensions);
  }
  return vectors;
}

void write_npy(const std::string& path, const std::vector<std::vector<float>>& vectors) {
  NpyWriter file(path, vectors.size(), vectors.front().size());
  for (const auto& vector : vectors) file.write(vector);
  file.finish();
}

void embed(const EmbedOptions& o, const Globals& globals) {
  const std::vector<std::string> texts = texts_of(o);
  ModelOptions options = o.model;
  options.engine.keep_prefixes = false;
  OpenModel engine(options, globals.quiet);
  std::vector<std::vector<text::Token>> tokens;
  int64_t n_tokens = 0;
  for (const std::string& text : texts) {
    tokens.push_back(engine->tokenizer().encode(text, {.add_bos = true, .parse_special = false}));
    n_tokens += std::ssize(tokens.back());
    if (tokens.back().empty())
      fail(ErrorKind::bad_request, "text {} is empty, it has no vector", tokens.size());
  }
  if (texts.empty()) fail(ErrorKind::bad_request, "there is no text to make a vector of");
  const auto vectors = vectors_of(*engine, tokens, o.dimensions);
  if (!o.out.empty()) write_npy(o.out, vectors);
  engine.finish();
  if (globals.json) {
    const bool mean = engine::pooling_of(*engine) == models::Pooling::mean;
    nlohmann::json result{{"shape", {vectors.size(), vectors.front().size()}},
                          {"tokens", n_tokens},
                          {"pooling", mean ? "mean" : "last"}};
    if (o.out.empty()) {
      result["vectors"] = vectors;
    } else {
      result["out"] = o.out;
    }
    add_arithmetic(result, *engine);
    result["residency"] = residency_json(*engine, engine->statistics());
    print_json(result);
  } else if (o.out.empty()) {
    for (const auto& vector : vectors) print(nlohmann::json(vector).dump() + "\n");
  } else {
    print(fmt::format("{}: float32 [{}, {}]\n", printable(o.out), vectors.size(),
                      vectors.front().size()));
  }
}

}  // namespace

void add_embed(CLI::App& app, Globals& globals) {
  CLI::App& command =
      add_command(app, "embed", "Make vectors of texts, for search and comparison",
                  "sluice embed my-embedding-model -p \"A text\"\n"
                  "sluice embed my-embedding-model --file texts.txt --lines --out texts.npy");
  const auto o = std::make_shared<EmbedOptions>();
  add_model_options(command, o->model);
  add_text_options(command, o->text, o->file);
  command.add_flag("--lines", o->lines, "Each line that is not empty is a text of its own");
  command
      .add_option("--dimensions", o->dimensions,
                  "Only the first N of each vector, scaled to length 1 again (default: all)")
      ->type_name("N")
      ->check(at_least(1));
  command
      .add_option("--out", o->out, "Write a .npy file, float32 [texts, dimensions], not to stdout")
      ->type_name("FILE");
  add_json_flag(command, globals);
  add_quiet_flag(command, globals);
  command.callback([o, &globals] { embed(*o, globals); });
}

}  // namespace sluice::cli
