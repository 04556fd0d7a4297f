#include "sluice/engine/engine.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "sluice/base/error.h"
#include "sluice/decode/greedy.h"
#include "sluice/decode/sampler.h"
#include "sluice/engine/budget.h"
#include "sluice/engine/contents.h"
#include "sluice/engine/engine_impl.h"
#include "sluice/engine/model_key.h"
#include "sluice/residency/machine/memory.h"

namespace sluice::engine {
namespace {

using Clock = std::chrono::steady_clock;

/// A vocabulary of 262,144 makes 1 MB of each token's logits.
constexpr Bytes kMaxLogits{64 << 20};
/// A model that says nothing of its context gets this one.
constexpr int64_t kUsualContext = 4096;

}  // namespace

void Engine::Impl::check_tokens(std::span<const text::Token> tokens) const {
  if (static_cast<int64_t>(tokens.size()) > context) {
    fail(ErrorKind::bad_request,
         "the prompt has {} tokens and the context holds {}; shorten it or raise --ctx",
         tokens.size(), context);
  }
  check_ids(tokens, "the prompt");
}

void Engine::Impl::check_ids(std::span<const text::Token> tokens, std::string_view what) const {
  const int64_t vocab_size = loaded.model->config().vocab_size;
  for (const text::Token token : tokens) {
    if (token < 0 || token >= vocab_size) {
      fail(ErrorKind::bad_request,
           "{} has token {}, and the model's vocabulary has {}; if a tokenizer gave it, it is "
           "another model's",
           what, token, vocab_size);
    }
  }
}

void Engine::check_ids(std::span<const text::Token> tokens) const {
  impl_->check_ids(tokens, "the text");
}

void Engine::Impl::open_disk_cache() {
  const DiskCacheOptions& cache = options.disk_cache;
  const bool is_kept = options.keep_prefixes && options.prefix_cache.count > 0;
  if (cache.folder.empty() || !is_kept || options.skip_missing_experts ||
      !loaded.store->has_weights())
    return;
  const std::filesystem::path named = path.has_filename() ? path : path.parent_path();
  try {
    disk.emplace(cache, model_key(*this), named.filename().string(), kv_layout, kv_pool,
                 [this] { worker.wake(); });
  } catch (const Error& error) {
    if (cache.log) cache.log(fmt::format("disk cache: off: {}", error.what()));
  }
}

namespace {

[[noreturn]] void no_tokenizer(const std::filesystem::path& path) {
  fail(ErrorKind::bad_model, "{}: has no tokenizer (tokenizer.json, or tokenizer.ggml.* in a GGUF)",
       path.string());
}

/// As measured of these sets, for up to four tokens. Too little costs a few steps that gain nothing; too much, some guesses
/// that would have been right.
double row_cost(const kernels::KernelTable& kernels) { return kernels.isa == "avx512" ? 0.1 : 0.4; }

/// Empty where a token may be guessed.
std::string_view why_no_guesses(const EngineOptions& options) {
  if (options.speculation == Speculation::off) return "it was asked for";
  if (options.skip_missing_experts) return "answers depend on which experts are in memory";
  if (!options.expert_trace.empty() || !options.expert_profile.empty())
    return "uses of experts are recorded";
  return {};
}

/// Of what may be kept for prompts to come, the share of the layer that drafts.
Bytes kept_of_layer(const Engine::Impl& e) {
  if (!e.options.keep_prefixes) return {};
  const auto n_layers = static_cast<uint64_t>(e.loaded.model->config().n_layers);
  return {e.options.prefix_cache.count / (n_layers + 1)};
}

}  // namespace

GuessMaker* Engine::Impl::maker() {
  if (options.guessers == Guessers::matches) return nullptr;
  if (draft_model) return &*draft_model;
  return draft_layer ? &*draft_layer : nullptr;
}

void Engine::Impl::make_scheduler() {
  const bool streams = loaded.store->statistics().has_value();
  stepper.emplace(
      *loaded.model, *ops_context,
      decode::Stepper::Limits{.logits = options.ram ? logits_within_budget(*this) : kMaxLogits,
                              .choose_together = !options.ram});
  runs_ahead = !streams && options.expert_trace.empty() && options.expert_profile.empty();
  const Bytes of_layer = loaded.mtp ? kept_of_layer(*this) : Bytes{};
  prefixes.emplace(kv_layout, kv_pool, difference(options.prefix_cache, of_layer));
  open_disk_cache();
  if (options.draft_model) {
    if (!tokenizer) no_tokenizer(path);
    draft_model.emplace(options.draft_model, *tokenizer);
  }
  if (loaded.mtp) {
    draft_layer.emplace(*loaded.mtp, loaded.model->config(), *ops_context, kv_pool,
                        DraftLayer::Options{.chunk = options.chunk, .kept = of_layer});
  }
  std::string_view reason = why_no_guesses(options);
  if (reason.empty() && options.guessers == Guessers::layer && !draft_layer)
    reason = "the model has no layer that drafts tokens, or it is left out";
  scheduler.emplace(
      *stepper, *prefixes, disk ? &*disk : nullptr, kv_pool, [this] { return new_cache(); },
      Scheduler::Options{.policy = options.scheduling,
                         .chunk = options.chunk,
                         .layer_tokens = streams ? layer_tokens(*this) : 0,
                         .runs_ahead = runs_ahead,
                         .keeps_prefixes = options.keep_prefixes,
                         .speculation = reason.empty() ? options.speculation : Speculation::off,
                         .no_guesses_because = reason,
                         .row_cost = row_cost(kernels),
                         .guesses_matches = options.guessers == Guessers::all ||
                                            options.guessers == Guessers::matches,
                         .maker = maker()});
  worker.set_work([this](bool others_wait) { return scheduler->turn(others_wait); });
}

decode::AppendOptions Engine::Impl::append_options(int64_t first_wanted) const {
  const bool streams = loaded.store->statistics().has_value();
  return {.chunk = options.chunk,
          .layer_tokens = streams ? layer_tokens(*this) : 0,
          .first_wanted = first_wanted};
}

decode::AppendOptions Engine::Impl::prompt_options(int64_t n_tokens) const {
  decode::AppendOptions append = append_options(n_tokens - 1);
  append.n_kept = n_tokens > options.snap_kv ? options.snap_kv : 0;
  return append;
}

namespace {

int64_t choose_context(const EngineOptions& options, int64_t trained) {
  const int64_t asked = options.context;
  constexpr int64_t kMost = INT32_MAX;  // MLX's shapes are of 32 bits
  if (asked < 0 || asked > kMost)
    fail(ErrorKind::bad_request, "--ctx is {}, it must be from 1 to {}", asked, kMost);
  if (asked > 0) return asked;
  const int64_t most = trained > 0 ? trained : kUsualContext;
  if (!options.counts_memory() || options.load.max_kv_size > 0) return most;
  // Keys and values of a context that nobody asked for would take the weights' memory.
  return std::min(most, options.sequence_tokens > 0 ? options.sequence_tokens : kUsualContext);
}

void open_text(const std::filesystem::path& path, models::LoadedModel& loaded,
               std::unique_ptr<text::Tokenizer>& tokenizer,
               std::optional<text::ChatTemplate>& chat_template) {
  if (loaded.gguf) {
    if (loaded.gguf->metadata.find("tokenizer.ggml.model") != nullptr) {
      tokenizer = text::Tokenizer::from_gguf(*loaded.gguf);
    }
    chat_template = text::ChatTemplate::from_gguf(*loaded.gguf);
    return;
  }
  if (std::filesystem::exists(path / "tokenizer.json"))
    tokenizer = text::Tokenizer::from_directory(path);
  chat_template = text::ChatTemplate::from_directory(path);
}

void refuse_expert_options(const EngineOptions& o) {
  const auto refuse = [](bool asked, const char* option) {
    if (asked) fail(ErrorKind::bad_request, "{}: this model has no experts; leave it out", option);
  };
  refuse(!o.expert_trace.empty(), "--record-trace");
  refuse(!o.expert_profile.empty(), "--profile");
  refuse(o.policy.has_value(), "--policy");
  refuse(!o.prefetch_experts, "--no-prefetch");
  refuse(!o.yield_memory, "--no-governor");
  refuse(o.skip_missing_experts, "--on-miss");
}

/// The calling thread's, with a thread that MLX makes and never ends: engines that follow each other share it.
mx::Stream own_stream() {
  thread_local std::optional<mx::Stream> stream;
  try {
    if (!stream) stream = mx::new_stream(mx::Device::cpu);
    return *stream;
  } catch (const std::system_error& error) {
    fail(ErrorKind::io,
         "MLX's thread cannot be made: {}; allow more (ulimit -u, ulimit -v, pids.max)",
         error.code().message());
  }
}

void check_spill(const EngineOptions& o, const nn::KvLayout& layout) {
  if (o.spill.folder.empty()) return;
  if (!o.ram && o.load.mode != residency::LoadMode::headers)
    fail(ErrorKind::bad_request, "--spill: there is no --ram that bounds memory; give one");
  if (layout.selects) {
    fail(ErrorKind::unsupported,
         "--spill: this model chooses among all keys, which must be in memory; leave it out");
  }
}

void check_snap_kv(const EngineOptions& o, const nn::KvLayout& layout) {
  constexpr int64_t kBlock = kernels::kKvBlockTokens;
  constexpr int64_t kLeast = (ops::kKeptFirst + ops::kKeptLast) / kBlock * kBlock + kBlock;
  if (o.snap_kv == 0) return;
  if (o.snap_kv < kLeast || o.snap_kv > INT32_MAX || o.snap_kv % kBlock != 0) {
    fail(ErrorKind::bad_request, "--snap-kv is {}, it must be a multiple of {} from {} on",
         o.snap_kv, kBlock, kLeast);
  }
  if (layout.group_of_codes() || o.load.max_kv_size > 0) {
    fail(ErrorKind::bad_request,
         "--snap-kv moves keys and values that --kv-bits and --max-kv-size want in their places; "
         "leave one out");
  }
  if (layout.selects || layout.by_position) {
    fail(
        ErrorKind::unsupported,
        "--snap-kv: what is attended in this model depends on where keys stand, or is chosen among "
        "all of them; leave it out");
  }
  int64_t window = 0;
  bool any = false;
  for (const auto& group : layout.groups) {
    window = std::max(window, group.window);
    any |= group.window == 0 && !group.recurrent;
  }
  if (!any) {
    fail(ErrorKind::unsupported,
         "--snap-kv: no layer of this model keeps keys and values of all tokens; leave it out");
  }
  if (window > o.snap_kv) {
    fail(ErrorKind::bad_request,
         "--snap-kv is {}, and layers of this model see the last {} tokens; give as many",
         o.snap_kv, window);
  }
}

void check_guessers(const EngineOptions& o) {
  if (o.guessers == Guessers::model && !o.draft_model)
    fail(ErrorKind::bad_request, "--speculate draft: there is no --draft-model; give one");
  if (o.draft_model && o.guessers != Guessers::model && o.guessers != Guessers::all)
    fail(ErrorKind::bad_request, "--speculate: is not for the --draft-model; leave one out");
}

/// Has the records told of every expert that is asked for.
void record_experts(Engine::Impl& e) {
  const EngineOptions& o = e.options;
  const nn::Config& config = e.loaded.model->config();
  e.records.emplace(o, static_cast<int>(config.n_layers), static_cast<int>(config.n_experts()));
  e.loaded.store->set_demand_sink(
      [&e](int layer, std::span<const int> experts, residency::Use use) {
        e.records->add(layer, experts, use);
      });
}

}  // namespace

std::unique_ptr<text::Tokenizer> open_tokenizer(const std::filesystem::path& path) {
  if (io::is_gguf(path)) return text::Tokenizer::from_gguf(io::open_gguf(path));
  if (!std::filesystem::exists(path / "tokenizer.json")) no_tokenizer(path);
  return text::Tokenizer::from_directory(path);
}

std::optional<text::ChatTemplate> open_chat_template(const std::filesystem::path& path) {
  if (io::is_gguf(path)) return text::ChatTemplate::from_gguf(io::open_gguf(path));
  return text::ChatTemplate::from_directory(path);
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() {
  if (!impl_->scheduler) return;
  impl_->worker.run([this] {
    impl_->scheduler->cancel_all();
    if (impl_->disk) impl_->disk->close();  // while there is somebody to be woken
  });
  impl_->worker.wake();  // for those that wait for what was closed
}

std::unique_ptr<Engine> Engine::open(const std::filesystem::path& path,
                                     const EngineOptions& options) {
  const auto start = Clock::now();
  if (options.chunk < 1)
    fail(ErrorKind::bad_request, "--chunk is {}, it must be positive", options.chunk);
  if (options.n_threads < 0 || options.n_threads > 1024) {
    fail(ErrorKind::bad_request, "--threads is {}, it must be from 1 to 1024", options.n_threads);
  }
  check_guessers(options);
  const int n_threads = options.n_threads > 0 ? options.n_threads : available_processors();
  if (options.counts_memory()) residency::give_back_freed_memory();
  auto impl = std::make_unique<Impl>(options, n_threads);
  Impl& e = *impl;
  e.path = path;
  e.worker.run([&] {
    mx::set_default_device(mx::Device::cpu);
    models::LoadOptions load = options.load;
    load.few_pages = options.counts_memory();
    load.drafts = why_no_guesses(options).empty() && !options.draft_model &&
                  options.guessers != Guessers::matches;
    e.loaded = models::load_model(path, load);
    e.context = choose_context(options, e.loaded.model->config().max_position_embeddings);
    open_text(path, e.loaded, e.tokenizer, e.chat_template);
    if (options.chat_template) e.chat_template = options.chat_template;
    e.kv_layout = std::make_shared<const nn::KvLayout>(e.loaded.model->kv_layout());
    check_spill(options, *e.kv_layout);
    check_snap_kv(options, *e.kv_layout);
    Timeline* const timeline = options.reader.timeline;
    e.ops_context.emplace(ops::Context{own_stream(), e.pool, e.kernels, *e.loaded.store, e.errors,
                                       e.scratch, options.activations, options.skip_missing_experts,
                                       timeline,
                                       timeline == nullptr ? -1 : timeline->add_lane("compute")});
    if (e.loaded.model->config().n_experts() > 0) {
      record_experts(e);
    } else {
      refuse_expert_options(options);
    }
    if (options.ram) e.plan = hold_weights_within(*options.ram, e);
    e.make_scheduler();
    preallocate_kv(options.kv_reserve, e);
  });
  e.load_seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

const nn::Config& Engine::config() const { return impl_->loaded.model->config(); }
std::string Engine::left_out() const { return impl_->loaded.left_out.text(); }
const EngineOptions& Engine::options() const { return impl_->options; }
int64_t Engine::context() const { return impl_->context; }

std::string_view Engine::activations() const {
  const ops::Activations kind = impl_->options.activations;
  if (!impl_->loaded.takes_int8 || kind == ops::Activations::float32) return "float32";
  return kind == ops::Activations::refined ? "refined" : "int8";
}
bool Engine::has_lossy_kv() const { return impl_->loaded.lossy_kv; }
double Engine::load_seconds() const { return impl_->load_seconds; }
Bytes Engine::kv_bytes() const { return impl_->kv_pool.allocated(); }

Bytes Engine::file_bytes() const {
  Bytes total;
  for (const auto& file : impl_->loaded.store->index().files) total.count += file.bytes;
  return total;
}

uint64_t Engine::n_parameters() const { return impl_->loaded.n_parameters; }

std::filesystem::path Engine::largest_file() const {
  return impl_->loaded.store->index().largest_file();
}

std::vector<TensorSummary> Engine::tensors() const {
  return summaries(impl_->loaded.store->index());
}

std::vector<std::pair<std::string, std::string>> Engine::metadata() const {
  if (!impl_->loaded.gguf) return {};
  return metadata_text(impl_->loaded.gguf->metadata);
}

const text::Tokenizer& Engine::tokenizer() const {
  if (!impl_->tokenizer) no_tokenizer(impl_->path);
  return *impl_->tokenizer;
}

const text::ChatTemplate* Engine::chat_template() const {
  return impl_->chat_template ? &*impl_->chat_template : nullptr;
}

void Engine::logits(std::span<const text::Token> tokens, int64_t first_wanted,
                    const decode::LogitsSink& sink) {
  impl_->check_tokens(tokens);
  impl_->worker.run([&] {
    nn::KvCache cache = impl_->new_cache();
    decode::append(*impl_->stepper, cache, tokens, impl_->append_options(first_wanted), sink);
  });
}

void Engine::logits_after(int64_t n_prompt, std::span<const text::Token> tokens,
                          const decode::LogitsSink& sink) {
  impl_->check_tokens(tokens);
  const auto prompt = tokens.first(static_cast<size_t>(n_prompt));
  impl_->worker.run([&] {
    nn::KvCache cache = impl_->new_cache();
    decode::append(*impl_->stepper, cache, prompt, impl_->prompt_options(n_prompt), sink);
    decode::append(*impl_->stepper, cache, tokens.subspan(prompt.size()), impl_->append_options(0),
                   sink);
  });
}

void Engine::draft_logits(std::span<const text::Token> tokens, const decode::LogitsSink& sink) {
  impl_->check_tokens(tokens);
  impl_->worker.run([&] {
    if (!impl_->draft_layer) {
      fail(
          ErrorKind::bad_request,
          "{}: has no layer that drafts tokens, or it is left out (a message says so); ask for the "
          "model's own logits",
          impl_->path.string());
    }
    nn::KvCache cache = impl_->new_cache();
    std::vector<float> states;
    decode::AppendOptions options = impl_->append_options(std::ssize(tokens));
    options.see_raw = [&](int64_t, std::span<const float> state) {
      states.insert(states.end(), state.begin(), state.end());
    };
    decode::append(*impl_->stepper, cache, tokens, options, {});
    impl_->draft_layer->logits(tokens, states, sink);
  });
}

void Engine::greedy(std::span<const text::Token> tokens, int64_t n,
                    const std::function<void(text::Token)>& on_token) {
  impl_->check_tokens(tokens);
  if (static_cast<int64_t>(tokens.size()) + n - 1 > impl_->context) {
    fail(ErrorKind::bad_request, "{} tokens and {} more do not fit the context of {}",
         tokens.size(), n, impl_->context);
  }
  impl_->worker.run([&] {
    nn::KvCache cache = impl_->new_cache();
    nn::KvCache* const only = &cache;
    text::Token first = -1;
    decode::append(
        *impl_->stepper, cache, tokens, impl_->prompt_options(std::ssize(tokens)),
        [&](int64_t, std::span<const float> logits) { first = decode::best_token(logits); });
    on_token(first);
    decode::continue_greedily(*impl_->stepper, {&only, 1}, {first}, n - 1, impl_->runs_ahead,
                              [&](std::span<const text::Token> next) { on_token(next[0]); });
  });
}

SchedulerReport Engine::scheduler() const { return impl_->scheduler->report(); }

std::vector<StepRecord> Engine::steps_after(int64_t number) const {
  return impl_->scheduler->steps_after(number);
}

std::optional<DiskCacheReport> Engine::disk_cache() const {
  return impl_->disk ? std::optional(impl_->disk->report()) : std::nullopt;
}
void Engine::flush_disk_cache(std::chrono::milliseconds most) {
  if (impl_->disk) impl_->disk->flush(most);
}

bool Engine::has_tokenizer() const { return impl_->tokenizer != nullptr; }

residency::Footprint Engine::footprint() const {
  return footprint_of(*impl_, impl_->loaded.mtp != nullptr);
}
residency::Footprint Engine::footprint_within(Bytes ram) const {
  return footprint_of(*impl_, mtp_fits(*impl_, ram));
}

int64_t Engine::kept_tokens(const residency::Footprint& footprint, Bytes ram) const {
  return engine::kept_tokens(*impl_, footprint, ram);
}

const residency::ResidencyPlan* Engine::plan() const {
  return impl_->plan ? &*impl_->plan : nullptr;
}

std::optional<residency::StreamStatistics> Engine::statistics() const {
  return impl_->loaded.store->statistics();
}
std::optional<residency::GovernorReport> Engine::governor() const {
  return impl_->governor ? std::optional(impl_->governor->report()) : std::nullopt;
}
std::optional<residency::KvSpillReport> Engine::spilled() const {
  const residency::KvSpill* const spill = impl_->kv_pool.spill();
  return spill != nullptr ? std::optional(spill->report()) : std::nullopt;
}
double Engine::disk_bandwidth() const { return impl_->disk_bandwidth; }

void Engine::finish() {
  if (impl_->records) impl_->worker.run([&] { impl_->records->finish(); });
}

Bytes Engine::expert_bytes_active() const { return impl_->loaded.active.experts; }
Bytes Engine::bytes_active() const { return impl_->loaded.active.all; }

}  // namespace sluice::engine
