#include "sluice/convert/convert.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/base/thread_pool.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/terminal.h"
#include "sluice/engine/hub/model_store.h"
#include "sluice/residency/machine/memory.h"

namespace sluice::cli {
namespace {

struct ConvertCommand {
  std::string model, out, to = "mlx", dtype;
  convert::ConvertOptions options;
};

std::optional<kernels::Format> dtype_of(const std::string& name) {
  if (name.empty()) return std::nullopt;
  return name == "f32"   ? kernels::Format::f32
         : name == "f16" ? kernels::Format::f16
                         : kernels::Format::bf16;
}

void run_convert(ConvertCommand c, const Globals& globals) {
  residency::give_back_freed_memory();
  convert::ConvertOptions& o = c.options;
  o.to = c.to == "gguf" ? convert::Target::gguf : convert::Target::mlx;
  o.dtype = dtype_of(c.dtype);
  if (o.n_threads == 0) o.n_threads = available_processors();
  ProgressDisplay display(globals.quiet);
  o.progress = [&](const convert::Progress& p) {
    const bool writes = p.stage == convert::Progress::Stage::writing;
    display.update({{writes ? "converting" : "checking", p.all, p.done}});
  };
  const auto source = engine::ModelStore().resolve(c.model);
  const convert::Converted result = convert::convert(source, c.out, o);
  if (globals.json) {
    print_json({{"out", result.out.string()},
                {"bytes", result.bytes.count},
                {"bytes_resumed", result.resumed.count},
                {"left_out", result.left_out},
                {"notes", result.notes},
                {"peak_rss_bytes", peak_rss_bytes()}});
    return;
  }
  for (const std::string& line : result.notes) display.above(printable(line));
  if (!result.left_out.empty()) display.above(result.left_out);
  if (result.resumed.count > 0)
    display.above(fmt::format("{} were there of a run before", to_string(result.resumed)));
  print(fmt::format("{}: {}\n", printable(result.out.string()), to_string(result.bytes)));
}

void add_mlx_options(CLI::App& command, ConvertCommand& c) {
  const char* const group = "To MLX";
  command.add_option("--bits", c.options.bits, "Quantize matrices: 2, 3, 4, 5, 6 or 8 bits")
      ->type_name("N")
      ->check(CLI::IsMember({2, 3, 4, 5, 6, 8}))
      ->group(group);
  command
      .add_option("--group-size", c.options.group_size, "Weights that share a scale (default: 64)")
      ->type_name("N")
      ->check(CLI::IsMember({16, 32, 64, 128}))
      ->group(group);
  command.add_option("--mode", c.options.mode, "How they are quantized (default: affine)")
      ->type_name("NAME")
      ->check(CLI::IsMember({"affine", "mxfp4", "mxfp8", "nvfp4"}))
      ->group(group);
  command
      .add_option("--recipe", c.options.recipe,
                  "More bits where they count, as mlx-lm's recipe of that name")
      ->type_name("NAME")
      ->check(CLI::IsMember({"mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6"}))
      ->group(group);
  command
      .add_option("--keep", c.options.keep,
                  "Modules that stay floats, by shell patterns of their paths or ends of them")
      ->type_name("PATTERN")
      ->group(group);
  command.add_option("--dtype", c.dtype, "Type of floats and scales (default: as they are)")
      ->type_name("TYPE")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}))
      ->group(group);
  command.add_flag("--dequantize", c.options.dequantize, "Make floats of quantized weights")
      ->group(group);
}

void add_gguf_options(CLI::App& command, ConvertCommand& c) {
  const char* const group = "To GGUF";
  command
      .add_option("--type", c.options.type,
                  "Type of matrices (default: as they are); what becomes logits has q6_k at least")
      ->type_name("TYPE")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q2_k",
                             "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs"}))
      ->group(group);
  command
      .add_option("--imatrix", c.options.imatrix,
                  "Which columns count how much, as `sluice imatrix` measured it")
      ->type_name("FILE")
      ->group(group);
}

}  // namespace

void add_convert(CLI::App& app, Globals& globals) {
  CLI::App& command = add_command(
      app, "convert", "Convert and quantize a model: Hugging Face, MLX, GGUF",
      "sluice convert my-model my-model-4bit --bits 4\n"
      "sluice convert my-model my-model-mxfp4 --mode mxfp4 --keep lm_head\n"
      "sluice convert my-model my-model.gguf --to gguf --type q4_k --imatrix my-model.imatrix\n"
      "# within 1 GB of memory; killed and called again, it goes on where it was\n"
      "sluice convert big-model big-model-4bit --bits 4 --ram 1GB");
  const auto c = std::make_shared<ConvertCommand>();
  add_model_argument(command, c->model);
  command.get_option("MODEL")->required();
  command.add_option("OUT", c->out, "What is made: a directory, or a .gguf file")->required();
  command.add_option("--to", c->to, "Kind of file (default: mlx)")
      ->type_name("KIND")
      ->check(CLI::IsMember({"mlx", "gguf"}));
  command
      .add_option("--tokenizer", c->options.tokenizer,
                  "Take tokenizer and template from this directory")
      ->type_name("DIR");
  command.add_option("--threads", c->options.n_threads, "Threads (default: all processors)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  command
      .add_option_function<std::string>(
          "--ram", [c](const std::string& size) { c->options.ram = parse_bytes(size); },
          "Memory for the whole process, as 1GB or 300MB (default: about 200MB)")
      ->type_name("SIZE");
  add_mlx_options(command, *c);
  add_gguf_options(command, *c);
  add_quiet_flag(command, globals);
  add_json_flag(command, globals);
  command.callback([c, &globals] { run_convert(*c, globals); });
}

}  // namespace sluice::cli
