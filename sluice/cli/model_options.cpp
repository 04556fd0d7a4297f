#include "sluice/cli/model_options.h"

#include <charconv>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/cli/output.h"
#include "sluice/cli/residency_report.h"
#include "sluice/cli/text_input.h"
#include "sluice/engine/draft_model.h"
#include "sluice/engine/hub/model_store.h"
#include "sluice/residency/machine/memory.h"

namespace sluice::cli {
namespace {

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
      ->check(at_least(1));
}

void add_model_options(CLI::App& command, ModelOptions& o) {
  add_engine_options(command, o);
  add_context_option(command, o);
  command
      .add_option("--kv-reserve", o.engine.kv_reserve,
                  "Allocate keys and values for N tokens when loading")
      ->type_name("N")
      ->check(at_least(0));
}

namespace {

constexpr const char* kStreaming = "Models larger than memory";
constexpr const char* kLossy = "Lossy, off by default, told in the result";

void add_streaming_options(CLI::App& command, ModelOptions& o) {
  command
      .add_option_function<std::string>(
          "--ram", [&o](const std::string& size) { o.engine.ram = parse_ram(size); },
          "Memory for the whole process, as 3GB or 700MB, or auto: what the system can spare. What "
          "does not fit is read from disk when it is needed; the result stays the same to the bit")
      ->type_name("SIZE")
      ->group(kStreaming);
  add_spill_options(command, o)->needs("--ram");
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

CLI::Option* add_spill_options(CLI::App& command, ModelOptions& o) {
  CLI::Option* const spill =
      command
          .add_option(
              "--spill", o.engine.spill.folder,
              "Where keys and values go that --ram has no room for: a folder on a fast disk. "
              "They come back to the bit; nothing is left there when the process ends")
          ->type_name("DIR")
          ->group(kStreaming);
  command
      .add_option_function<std::string>(
          "--spill-limit",
          [&o](const std::string& size) { o.engine.spill.limit = parse_bytes(size); },
          "Most that is written there, all in all (default: 20GB)")
      ->needs(spill)
      ->type_name("SIZE")
      ->group(kStreaming);
  return spill;
}

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
  add_choice<kernels::KvType>(
      command, "--state-type", "TYPE",
      {{"f32", kernels::KvType::f32},
       {"f16", kernels::KvType::f16},
       {"bf16", kernels::KvType::bf16}},
      [&o](auto type) { o.engine.load.state_type = type; },
      "What recurrent layers' states are kept as between tokens (default: f32)")
      ->group(kLossy);
  add_choice<kernels::KvCode>(
      command, "--kv-bits", "WIDTH", {{"8", {8, 8}}, {"4", {4, 4}}, {"k8v4", {8, 4}}},
      [&o](auto code) { o.engine.load.kv_code = code; },
      "Bits of keys and values that are not recent, of layers without a window; k8v4: 8 of keys, 4 "
      "of values (default: as --kv-type)")
      ->group(kLossy);
  command
      .add_option("--kv-recent", o.engine.load.kv_recent,
                  "Tokens that see a block's keys and values in full before --kv-bits does "
                  "(default: 128)")
      ->needs("--kv-bits")
      ->type_name("N")
      ->check(at_least(0))
      ->group(kLossy);
  command
      .add_option(
          "--max-kv-size", o.engine.load.max_kv_size,
          "Keep the keys and values of N tokens, the first 4 and the most recent ones, in "
          "layers without a window: a context of any length in bounded memory (default: all)")
      ->type_name("N")
      ->check(at_least(5))
      ->excludes("--kv-bits")
      ->group(kLossy);
  command
      .add_option("--chunk", o.engine.chunk,
                  "Prompt tokens per step; does not change the result (default: 512)")
      ->type_name("N")
      ->check(at_least(1));
  CLI::Option* const activations = add_choice<ops::Activations>(
      command, "--activations", "TYPE",
      {{"int8", ops::Activations::int8},
       {"refined", ops::Activations::refined},
       {"float32", ops::Activations::float32}},
      [&o](auto kind) { o.engine.activations = kind; },
      "What activations are rounded to where they meet quantized weights: int8 is fast, refined "
      "up to a sixth slower and 4 to 9 times closer to float32, the reference arithmetic (default: "
      "int8)");
  command
      .add_flag_callback(
          "--exact-activations", [&o] { o.engine.activations = ops::Activations::float32; },
          "The same as --activations float32")
      ->excludes(activations);
}

void add_snap_kv_option(CLI::App& command, ModelOptions& o) {
  command
      .add_option("--snap-kv", o.engine.snap_kv,
                  "Once a prompt of more than N tokens is computed, keep the keys and values of N: "
                  "the first ones, the last ones and those that its end attends most, chosen for "
                  "each layer and head; a multiple of 256 (default: all)")
      ->type_name("N")
      ->check(at_least(0))
      ->excludes("--kv-bits")
      ->excludes("--max-kv-size")
      ->group(kLossy);
}

void add_speculation_options(CLI::App& command, ModelOptions& o) {
  command
      .add_option_function<std::string>(
          "--speculate",
          [&o](const std::string& name) { o.engine.speculate(engine::speculating_named(name)); },
          "Guess tokens, and check several in one step; does not change the result: auto does "
          "where "
          "that was measured to be faster, always, off; match, mtp or draft as auto, by what the "
          "text repeats, the model's own drafting layer or --draft-model alone (default: auto)")
      ->type_name("WHEN");
  command
      .add_option(
          "--draft-model", o.draft_model,
          "A smaller model with the same vocabulary, which guesses tokens too where that is "
          "worth its time; --ram is for both")
      ->type_name("MODEL");
}

void add_engine_options(CLI::App& command, ModelOptions& o) {
  add_model_argument(command, o.model);
  add_streaming_options(command, o);
  add_lossy_options(command, o);
  add_choice<residency::LoadMode>(
      command, "--load", "MODE",
      {{"map", residency::LoadMode::map}, {"copy", residency::LoadMode::copy}},
      [&o](auto mode) { o.engine.load.mode = mode; },
      "Use the files' pages, or read them into memory first (default: map)")
      ->excludes("--ram");
  add_step_options(command, o);
}

std::filesystem::path resolve_model(const std::string& model) {
  const engine::ModelStore store;
  if (!model.empty()) return store.resolve(model);
  try {
    return store.resolve(engine::kDefaultModel);
  } catch (const Error&) {
    fail(ErrorKind::bad_request,
         "no MODEL is named, and the default, {}, is not here: `make run` or tools/fetch_model.py "
         "gets it, or name one, as `sluice pull org/name` gets it",
         engine::kDefaultModel);
  }
}

CLI::Validator at_least(int64_t least) {
  constexpr int64_t kMost = 1'000'000'000'000;
  return CLI::Validator(
      [least](const std::string& given) {
        int64_t number = 0;
        const char* const end = given.data() + given.size();
        const auto read = std::from_chars(given.data(), end, number);
        const bool ok =
            read.ec == std::errc{} && read.ptr == end && number >= least && number <= kMost;
        return ok ? "" : fmt::format("'{}' is not a whole number from {} to 10^12", given, least);
      },
      "");
}

OpenModel::OpenModel(const ModelOptions& options, bool quiet) {
  engine::EngineOptions engine_options = options.engine;
  // Within a budget its events count too.
  constexpr size_t kEventsInBudget = size_t{1} << 17;
  if (!options.timeline.empty()) {
    timeline_ = std::make_unique<Timeline>(
        options.timeline, engine_options.ram ? kEventsInBudget : Timeline::kMostEvents);
    engine_options.reader.timeline = timeline_.get();
  }
  engine_options.cache = engine::ModelStore::default_root();
  const std::filesystem::path path = resolve_model(options.model);
  engine_ = options.draft_model.empty()
                ? engine::Engine::open(path, engine_options)
                : engine::open_with_draft(path, resolve_model(options.draft_model), engine_options);
  if (quiet) return;
  const int64_t trained = engine_->config().max_position_embeddings;
  if (trained > 0 && engine_->context() > trained) {
    note(fmt::format("the context of {} is beyond the {} tokens that the model was trained for",
                     engine_->context(), trained));
  }
  if (!engine_->left_out().empty()) note(engine_->left_out());
  if (const auto lossy = lossy_json(*engine_); !lossy.is_null())
    note(fmt::format("lossy: {}", lossy.dump()));
}

OpenModel::~OpenModel() {
  try {
    finish();
  } catch (const std::exception& error) {  // beside the one that ends the command, if one does
    note(error.what());
  }
}

void OpenModel::finish() {
  if (std::exchange(finished_, true)) return;
  engine_->finish();
  if (!timeline_) return;
  const TimelineReport report = timeline_->finish();
  note(
      fmt::format("{} events on the timeline{}", report.events,
                  report.dropped > 0 ? fmt::format(", {} more were dropped", report.dropped) : ""));
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
  command.add_flag("--allow-special", o.allow_special,
                   "Read special tokens such as <|im_end|> in the text itself too, not only where "
                   "the chat template writes them");
}

ChatFormat::ChatFormat(const text::Tokenizer& tokenizer, const text::ChatTemplate* own,
                       const PromptOptions& options)
    : tokenizer_(tokenizer), allow_special_(options.allow_special) {
  if (!options.chat_template_args.empty()) {
    args_ = nlohmann::ordered_json::parse(options.chat_template_args, nullptr, false);
    if (!args_.is_object())
      fail(ErrorKind::bad_request, "--chat-template-args is not a JSON object: {}",
           options.chat_template_args);
  }
  if (!options.chat_template.empty()) {
    template_ =
        text::ChatTemplate::from_source(read_file(options.chat_template), options.chat_template);
  } else if (own != nullptr) {
    template_ = *own;
  }
  if (!template_ && !options.chat_template_args.empty()) {
    fail(ErrorKind::bad_request,
         "--chat-template-args needs a chat template, and this model has none; give one with "
         "--chat-template");
  }
}

namespace {

/// What a base model is shown as a chat.
std::string plain_chat(const nlohmann::ordered_json& messages) {
  std::string text;
  for (const auto& message : messages) {
    const auto content = message.find("content");
    if (content == message.end() || !content->is_string())
      fail(ErrorKind::bad_request, "without a chat template a message's content must be text");
    const std::string role = message.at("role");
    const std::string name = role == "user" ? "User: " : role == "system" ? "" : "Assistant: ";
    text += name + content->get<std::string>() + (role == "system" ? "\n\n" : "\n");
  }
  return text + "Assistant:";
}

}  // namespace

text::RenderedPrompt ChatFormat::render(const nlohmann::ordered_json& messages,
                                        const nlohmann::ordered_json& tools) const {
  if (template_) return template_->render(messages, tools, args_, true, tokenizer_);
  return {.text = plain_chat(messages), .trusted = {}, .add_bos = true};
}

std::vector<text::Token> ChatFormat::encode(const text::RenderedPrompt& prompt) const {
  if (!allow_special_) return tokenizer_.encode(prompt);
  return tokenizer_.encode(prompt.text, {.add_bos = prompt.add_bos, .parse_special = true});
}

std::vector<std::string> ChatFormat::stops() const {
  return template_ ? std::vector<std::string>{} : std::vector<std::string>{"\nUser:"};
}

std::string token_piece(const text::Tokenizer& tokenizer, text::Token token) {
  return '"' + printable(tokenizer.token_bytes(token, true)) + '"';
}

uint64_t peak_rss_bytes() { return residency::peak_resident().count; }

}  // namespace sluice::cli
