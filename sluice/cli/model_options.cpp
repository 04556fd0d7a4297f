#include "sluice/cli/model_options.h"

#include <charconv>
#include <fstream>
#include <iostream>
#include <iterator>

#include "sluice/base/error.h"
#include "sluice/cli/output.h"
#include "sluice/engine/hub/model_store.h"
#include "sluice/residency/machine/memory.h"

namespace sluice::cli {
namespace {

constexpr size_t kLargestText = 1'000'000'000;

/// An option that takes one of some words, each of which stands for a value.
template <typename T>
CLI::Option* add_choice(CLI::App& command, const std::string& name, const std::string& value_name,
                        std::vector<std::pair<std::string, T>> choices, std::function<void(T)> set,
                        const std::string& help) {
  std::vector<std::string> words;
  for (const auto& [word, value] : choices) words.push_back(word);
  return command
      .add_option_function<std::string>(
          name,
          [choices = std::move(choices), set = std::move(set)](const std::string& given) {
            for (const auto& [word, value] : choices) {
              if (word == given) set(value);
            }
          },
          help)
      ->type_name(value_name)
      ->check(CLI::IsMember(words));
}

Bytes parse_ram(const std::string& size) {
  if (size == "auto") return residency::automatic_budget(residency::memory_state());
  return parse_bytes(size);
}

}  // namespace

void add_model_argument(CLI::App& command, std::string& model) {
  command.add_option("MODEL", model, "Directory, .gguf file, hub id or name from `sluice list`")
      ->required();
}

void add_context_option(CLI::App& command, ModelOptions& o) {
  command.add_option("--ctx", o.engine.context, "Most tokens of a sequence (default: the model's)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
}

void add_model_options(CLI::App& command, ModelOptions& o) {
  add_engine_options(command, o);
  add_context_option(command, o);
  command
      .add_option("--kv-reserve", o.engine.kv_reserve,
                  "Allocate keys and values for N tokens when loading")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
}

namespace {

constexpr const char* kStreaming = "Models larger than memory";

void add_streaming_options(CLI::App& command, ModelOptions& o) {
  command
      .add_option_function<std::string>(
          "--ram", [&o](const std::string& size) { o.engine.ram = parse_ram(size); },
          "Memory for the whole process, as 3GB or 700MB, or auto: what the system can spare. What "
          "does not fit is read from disk when it is needed; the result stays the same to the bit")
      ->type_name("SIZE")
      ->group(kStreaming);
  add_choice<residency::PolicyKind>(
      command, "--policy", "NAME",
      {{"lru", residency::PolicyKind::lru},
       {"lfu", residency::PolicyKind::lfu},
       {"lcp", residency::PolicyKind::lcp},
       {"least-stale", residency::PolicyKind::least_stale},
       {"s3-fifo", residency::PolicyKind::s3_fifo}},
      [&o](auto policy) { o.engine.policy = policy; },
      "Which expert a missing one replaces (default: lfu)")
      ->needs("--ram")
      ->group(kStreaming);
  command
      .add_flag_callback(
          "--no-prefetch", [&o] { o.engine.prefetch_experts = false; },
          "Read experts only once their router chose them, never ahead on a guess")
      ->needs("--ram")
      ->group(kStreaming);
  command
      .add_flag_callback(
          "--no-governor", [&o] { o.engine.yield_memory = false; },
          "Keep the experts' memory also while the system is short of it")
      ->needs("--ram")
      ->group(kStreaming);
  command
      .add_option("--profile", o.engine.expert_profile,
                  "Begin with the experts that were used most, by this file, and write it anew")
      ->needs("--ram")
      ->type_name("FILE")
      ->group(kStreaming);
  command
      .add_option("--record-trace", o.engine.expert_trace,
                  "Write which experts are used, for tools/replay_trace.py")
      ->type_name("FILE")
      ->group(kStreaming);
  command
      .add_option("--timeline", o.timeline,
                  "Draw what is computed and read when; ui.perfetto.dev opens the file")
      ->type_name("FILE")
      ->group(kStreaming);
}

void add_lossy_options(CLI::App& command, ModelOptions& o) {
  constexpr const char* kLossy = "Lossy, off by default, told in the result";
  command
      .add_option_function<std::string>(
          "--top-k-experts",
          [&o](const std::string& given) {
            models::LoadOptions& load = o.engine.load;
            load.adaptive_experts = given == "adaptive";
            if (load.adaptive_experts) return;
            const auto [end, error] =
                std::from_chars(given.data(), given.data() + given.size(), load.top_k_experts);
            if (error != std::errc{} || end != given.data() + given.size() ||
                load.top_k_experts < 1)
              throw CLI::ValidationError(
                  "--top-k-experts", "'" + given + "' is neither a number from 1 on nor adaptive");
          },
          "Experts of a token, fewer than the model was trained with, or adaptive: as many as make "
          "90 % of their weights")
      ->type_name("N|adaptive")
      ->group(kLossy);
  add_choice<bool>(
      command, "--on-miss", "WHAT", {{"wait", false}, {"skip", true}},
      [&o](bool skip) { o.engine.skip_missing_experts = skip; },
      "While decoding, wait only for the better half of a token's experts; do without others that "
      "are not in memory. Results then depend on what was there (default: wait)")
      ->needs("--ram")
      ->group(kLossy);
}

}  // namespace

void add_step_options(CLI::App& command, ModelOptions& o) {
  command
      .add_option("--threads", o.engine.n_threads,
                  "Threads to compute with (default: all processors)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  add_choice<kernels::KvType>(
      command, "--kv-type", "TYPE",
      {{"f32", kernels::KvType::f32},
       {"f16", kernels::KvType::f16},
       {"bf16", kernels::KvType::bf16}},
      [&o](auto type) { o.engine.load.kv_type = type; },
      "What keys and values are kept as (default: as the weights)");
  command
      .add_option("--chunk", o.engine.chunk,
                  "Prompt tokens per step; does not change the result (default: 512)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  CLI::Option* const activations = add_choice<ops::Activations>(
      command, "--activations", "TYPE",
      {{"int8", ops::Activations::int8},
       {"refined", ops::Activations::refined},
       {"float32", ops::Activations::float32}},
      [&o](auto kind) { o.engine.activations = kind; },
      "What activations are rounded to where they meet quantized weights: int8 is fast, refined "
      "nearly "
      "as fast and 6 to 9 times closer to float32, the reference arithmetic (default: int8)");
  command
      .add_flag_callback(
          "--exact-activations", [&o] { o.engine.activations = ops::Activations::float32; },
          "The same as --activations float32")
      ->excludes(activations);
}

void add_engine_options(CLI::App& command, ModelOptions& o) {
  add_model_argument(command, o.model);
  add_streaming_options(command, o);
  add_lossy_options(command, o);
  add_choice<residency::LoadMode>(
      command, "--load", "MODE",
      {{"map", residency::LoadMode::map}, {"copy", residency::LoadMode::copy}},
      [&o](auto mode) { o.engine.load.mode = mode; },
      "Use the files' pages, or read them into memory first (default: map)");
  add_step_options(command, o);
}

OpenModel::OpenModel(const ModelOptions& options) {
  engine::EngineOptions engine_options = options.engine;
  // Within a budget its events count too.
  constexpr size_t kEventsInBudget = size_t{1} << 17;
  if (!options.timeline.empty()) {
    timeline_ = std::make_unique<Timeline>(
        options.timeline, engine_options.ram ? kEventsInBudget : Timeline::kMostEvents);
    engine_options.reader.timeline = timeline_.get();
  }
  engine_options.cache = engine::ModelStore::default_root();
  engine_ = engine::Engine::open(engine::ModelStore().resolve(options.model), engine_options);
}

void OpenModel::finish() {
  engine_->finish();
  if (!timeline_) return;
  const TimelineReport report = timeline_->finish();
  note(
      fmt::format("{} events on the timeline{}", report.events,
                  report.dropped > 0 ? fmt::format(", {} more were dropped", report.dropped) : ""));
}

void add_sampling_options(CLI::App& command, SamplingOptions& o) {
  decode::SamplerConfig& c = o.config;
  const auto option = [&](const char* name, const char* value_name, auto& value, const char* help) {
    return command.add_option(name, value, help)
        ->type_name(value_name)
        ->group("Sampling, in the order in which they apply");
  };
  option("--logit-bias", "TOKEN=BIAS", o.logit_bias, "Add to that token's logit (repeatable)")
      ->allow_extra_args(false);
  option("--repetition-penalty", "X", c.repetition_penalty,
         "Divide the logits of recent tokens by it (default: 1, off)");
  option("--presence-penalty", "X", c.presence_penalty,
         "Subtract from every recent token's logit (default: 0)");
  option("--frequency-penalty", "X", c.frequency_penalty, "Subtract per occurrence (default: 0)");
  option("--penalty-window", "N", c.penalty_window,
         "Recent tokens that the penalties see (default: 64; 0: all)");
  option("--temp", "T", c.temperature, "Temperature; 0 takes the best token (default: 0)");
  option("--top-k", "K", c.top_k, "Keep the K best tokens (default: 0, off)");
  option("--top-p", "P", c.top_p,
         "Keep the best tokens that reach probability P (default: 1, off)");
  option("--min-p", "P", c.min_p,
         "Keep tokens with P times the best one's probability (default: 0, off)");
  option("--xtc-probability", "P", c.xtc_probability,
         "Chance to drop the likeliest tokens (default: 0, off)");
  option("--xtc-threshold", "P", c.xtc_threshold, "What counts as likely for XTC (default: 0.1)");
  option("--seed", "N", c.seed, "Same seed, same text (default: 0)");
}

void add_text_options(CLI::App& command, std::string& text, std::string& file) {
  auto* prompt = command.add_option("-p,--prompt", text, "The text");
  prompt->type_name("TEXT");
  command.add_option("--file", file, "Read the text from a file, - for stdin")
      ->type_name("FILE")
      ->excludes(prompt);
  command.parse_complete_callback([&command] {
    if (command.count("--prompt") + command.count("--file") == 0)
      throw CLI::RequiredError("-p or --file");
  });
}

decode::SamplerConfig SamplingOptions::resolve() const {
  decode::SamplerConfig resolved = config;
  for (const std::string& entry : logit_bias) {
    const size_t equals = entry.find('=');
    int32_t token = 0;
    double bias = 0;
    const char* end = entry.data() + entry.size();
    const char* middle = entry.data() + std::min(equals, entry.size());
    const bool ok = equals != std::string::npos &&
                    std::from_chars(entry.data(), middle, token).ptr == middle &&
                    std::from_chars(middle + 1, end, bias).ptr == end && token >= 0 && equals > 0 &&
                    middle + 1 < end;
    if (!ok)
      fail(ErrorKind::bad_request, "--logit-bias '{}' is not TOKEN=BIAS, as in 42=-5.5", entry);
    resolved.logit_bias[token] = bias;
  }
  resolved.check();
  return resolved;
}

void add_prompt_options(CLI::App& command, PromptOptions& o) {
  command.add_option("--system", o.system, "System prompt")->type_name("TEXT");
  command
      .add_option("--chat-template", o.chat_template,
                  "Jinja file to use instead of the model's template")
      ->type_name("FILE");
  command
      .add_option("--chat-template-args", o.chat_template_args,
                  "JSON object of extra template variables")
      ->type_name("JSON");
}

ChatFormat::ChatFormat(const engine::Engine& engine, const PromptOptions& options)
    : args_(nlohmann::json::object()) {
  if (!options.chat_template_args.empty()) {
    args_ = nlohmann::json::parse(options.chat_template_args, nullptr, false);
    if (!args_.is_object())
      fail(ErrorKind::bad_request, "--chat-template-args is not a JSON object: {}",
           options.chat_template_args);
  }
  if (!options.chat_template.empty()) {
    template_ =
        text::ChatTemplate::from_source(read_text(options.chat_template), options.chat_template);
  } else if (engine.chat_template() != nullptr) {
    template_ = *engine.chat_template();
  }
}

std::string ChatFormat::render(const nlohmann::json& messages) const {
  if (template_) return template_->render(messages, nullptr, args_, true);
  std::string text;
  for (const auto& message : messages) {
    const std::string role = message["role"];
    if (role == "system") {
      text += message["content"].get<std::string>() + "\n\n";
    } else {
      text += (role == "user" ? "User: " : "Assistant: ") + message["content"].get<std::string>() +
              "\n";
    }
  }
  return text + "Assistant:";
}

std::vector<std::string> ChatFormat::stops() const {
  return template_ ? std::vector<std::string>{} : std::vector<std::string>{"\nUser:"};
}

std::vector<text::Token> parse_tokens(const std::string& argument) {
  const std::string list = argument.starts_with('@') ? read_text(argument.substr(1)) : argument;
  std::vector<text::Token> tokens;
  const char* at = list.data();
  const char* end = at + list.size();
  const auto skip = [&] {
    while (at < end && (*at == ',' || std::isspace(static_cast<unsigned char>(*at)))) ++at;
  };
  for (skip(); at < end; skip()) {
    text::Token token = 0;
    const auto [next, error] = std::from_chars(at, end, token);
    if (error != std::errc{})
      fail(ErrorKind::bad_request, "--tokens: '{}' is no token id",
           std::string(at, std::min(at + 12, end)));
    tokens.push_back(token);
    at = next;
  }
  if (tokens.empty())
    fail(ErrorKind::bad_request, "--tokens is empty: give ids as in 1,2,3 or @FILE");
  return tokens;
}

std::string read_text(const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) fail(ErrorKind::io, "{}: cannot be opened", path);
  }
  std::istream& in = path == "-" ? std::cin : file;
  std::string text;
  std::vector<char> buffer(1 << 20);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), in.gcount() > 0) {
    text.append(buffer.data(), static_cast<size_t>(in.gcount()));
    if (text.size() > kLargestText) fail(ErrorKind::bad_request, "{}: is larger than 1 GB", path);
  }
  return text;
}

uint64_t peak_rss_bytes() { return residency::peak_resident().count; }

}  // namespace sluice::cli
