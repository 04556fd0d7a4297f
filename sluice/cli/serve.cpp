#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/prompt_cache_options.h"
#include "sluice/cli/sampling_options.h"
#include "sluice/cli/signals.h"
#include "sluice/cli/stderr_log.h"
#include "sluice/cli/text_input.h"
#include "sluice/engine/hub/model_store.h"
#include "sluice/engine/shares.h"
#include "sluice/residency/machine/memory.h"
#include "sluice/server/http/http_server.h"
#include "sluice/server/serving/models.h"
#include "sluice/server/serving/service.h"

namespace sluice::cli {
namespace {

struct ServeOptions {
  ModelOptions model;
  std::vector<std::string> more_models, aliases;  // NAME=MODEL, PATTERN=NAME
  SamplingOptions sampling;
  server::HttpOptions http;
  std::vector<std::string> api_keys;
  std::string api_key_file;
  int64_t most_answers = 64;
  double drain_seconds = 30;
  bool log = false, log_prompts = false;
  server::LogFormat log_format = server::LogFormat::text;
  server::ResponseStore::Options responses;
  server::Models::Options loading;
  std::optional<Bytes> disk_cache, disk_cache_daily;
  bool asks_for_connections = false, no_disk_cache = false, allow_pull = false,
       isolates_clients = false;
  std::string chat_template;
};

/// "NAME=REST".
std::pair<std::string, std::string> split_at_equals(const std::string& option,
                                                    const std::string& given) {
  const size_t at = given.find('=');
  if (at == given.npos || at == 0 || at + 1 == given.size())
    fail(ErrorKind::bad_request, "{} {}: has to be NAME=...", option, given);
  return {given.substr(0, at), given.substr(at + 1)};
}

/// What clients call a model: its name in the store, or that of its file.
std::string served_name(const std::string& model) {
  if (model.empty()) return std::string(engine::kDefaultModel);
  std::error_code ignored;
  if (!std::filesystem::exists(model, ignored)) return model;
  std::filesystem::path path(model);
  if (!path.has_filename()) path = path.parent_path();
  return path.extension() == ".gguf" ? path.stem().string() : path.filename().string();
}

std::vector<server::Models::Named> models_of(const ServeOptions& o) {
  std::vector<server::Models::Named> models;
  if (!o.model.model.empty() || o.more_models.empty())
    models.push_back({served_name(o.model.model), o.model.model});
  for (const std::string& given : o.more_models) {
    auto [name, model] = split_at_equals("--model", given);
    models.push_back({std::move(name), std::move(model)});
  }
  for (const auto& [option, is_given] :
       {std::pair("--chat-template", !o.chat_template.empty()),
        std::pair("--draft-model", !o.model.draft_model.empty())}) {
    if (models.size() > 1 && is_given)
      fail(ErrorKind::bad_request, "{} is for one model; serve one, or leave it out", option);
  }
  return models;
}

/// Each model's part of --ram where there are several, by what names the model.
std::map<std::string, engine::Share> shares_of(const std::vector<server::Models::Named>& models,
                                               const ServeOptions& o, bool quiet) {
  std::map<std::string, engine::Share> shares;
  if (models.size() == 1 || !o.model.engine.ram) return shares;
  std::vector<std::filesystem::path> paths;
  for (const auto& named : models) paths.push_back(resolve_model(named.model));
  const auto parts = engine::shares_of(paths, o.model.engine, o.loading.most_loaded);
  for (size_t i = 0; i < models.size(); ++i) {
    shares[models[i].model] = parts[i];
    if (!quiet) note(fmt::format("{} gets {} of --ram", models[i].name, to_string(parts[i].ram)));
  }
  return shares;
}

server::Models::Aliases aliases_of(const ServeOptions& o) {
  server::Models::Aliases aliases;
  for (const std::string& given : o.aliases) aliases.push_back(split_at_equals("--alias", given));
  return aliases;
}

/// A key a line.
std::vector<std::string> read_keys(const std::string& path) {
  std::istringstream lines(read_file(path));
  std::vector<std::string> keys;
  for (std::string line; std::getline(lines, line);) {
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back())) != 0)
      line.pop_back();
    if (!line.empty()) keys.push_back(line);
  }
  if (keys.empty()) fail(ErrorKind::bad_request, "--api-key-file {}: holds no key", path);
  return keys;
}

server::HttpOptions http_options(const ServeOptions& o) {
  server::HttpOptions http = o.http;
  http.gate.api_keys = o.api_keys;
  if (!o.api_key_file.empty()) {
    const auto keys = read_keys(o.api_key_file);
    http.gate.api_keys.insert(http.gate.api_keys.end(), keys.begin(), keys.end());
  }
  if (std::ranges::find(http.gate.api_keys, "") != http.gate.api_keys.end())
    fail(ErrorKind::bad_request, "--api-key is empty: everybody would have it");
  http.drain_time = std::chrono::milliseconds(static_cast<int64_t>(o.drain_seconds * 1e3));
  return http;
}

/// On unless it is not wanted, or there is no place for it.
engine::DiskCacheOptions disk_cache(const ServeOptions& o, const Globals& globals) {
  if (o.no_disk_cache) return {};
  const bool is_asked_for = o.disk_cache || o.disk_cache_daily;
  if (is_asked_for && o.model.engine.prefix_cache.count == 0) {
    fail(ErrorKind::bad_request,
         "--disk-cache needs a --prompt-cache, which what is read from disk goes into");
  }
  engine::DiskCacheOptions options = is_asked_for ? needed_disk_cache(kSharedCache, globals.quiet)
                                                  : disk_cache_options(globals.quiet);
  options.cap = o.disk_cache;
  options.daily = o.disk_cache_daily.value_or(options.daily);
  return options;
}

/// As models are opened, but for their parts of --ram.
ModelOptions model_options(const ServeOptions& o, const Globals& globals) {
  ModelOptions options = o.model;
  options.engine.disk_cache = disk_cache(o, globals);
  if (!o.chat_template.empty()) {
    options.engine.chat_template =
        text::ChatTemplate::from_source(read_file(o.chat_template), o.chat_template);
  }
  return options;
}

void serve(ServeOptions o, const Globals& globals) {
  residency::give_back_freed_memory();  // a server lives long
  o.model = model_options(o, globals);
  server::HttpOptions http = http_options(o);
  if (const auto ram = o.model.engine.ram) {
    o.model.engine.beside = server::hold_clients_within(*ram, http);
    if (o.asks_for_connections && http.most_connections < o.http.most_connections)
      note(fmt::format("--ram leaves memory for {} connections at once", http.most_connections));
  }
  const std::vector<server::Models::Named> named = models_of(o);
  if (o.model.engine.ram && o.loading.most_loaded == 0) o.loading.most_loaded = named.size();
  const std::map<std::string, engine::Share> shares = shares_of(named, o, globals.quiet);
  server::ServiceOptions service_options{.read = {.limits = {}, .sampling = o.sampling.resolve()},
                                         .most_answers = o.most_answers,
                                         .version = SLUICE_VERSION,
                                         .ram = o.model.engine.ram};
  if (o.log) service_options.log = open_stderr_log();
  service_options.responses = o.responses;
  service_options.log_format = o.log_format;
  service_options.log_prompts = o.log_prompts;
  service_options.isolates_clients = o.isolates_clients;
  service_options.allow_pull = o.allow_pull;
  server::Models models(
      named, aliases_of(o),
      [&](const std::string& model) {
        ModelOptions options = o.model;
        options.model = model;
        if (const auto share = shares.find(model); share != shares.end()) {
          options.engine.ram = share->second.ram;
          options.engine.baseline = share->second.baseline;
        }
        const auto opened = std::make_shared<OpenModel>(options, globals.quiet);
        return std::shared_ptr<engine::Engine>(opened, &**opened);  // which finishes what it began
      },
      o.loading);
  server::Service service(models, std::move(service_options));
  server::HttpServer server(http, service);  // before the model is loaded for nothing
  const std::string first = models.open_first()->name();
  const Cancellation cancellation(Cancellation::Of::all);
  if (!globals.quiet) note(fmt::format("{} at {}", first, server.address()));
  server.run(cancellation.asked());
}

void add_network_options(CLI::App& command, ServeOptions& o) {
  constexpr const char* kNetwork = "Who may ask";
  const auto option = [&](const char* name, const char* value_name, auto& value, const char* help) {
    return command.add_option(name, value, help)->type_name(value_name)->group(kNetwork);
  };
  auto* const host = option("--host", "ADDRESS", o.http.host,
                            "Address to listen at; beyond 127.0.0.1 with a key only "
                            "(default: 127.0.0.1)");
  auto* const port = option("--port", "N", o.http.port, "Port; 0 takes a free one (default: 8080)");
  auto* const certificate =
      option("--tls-cert", "FILE", o.http.tls_certificate,
             "Speak TLS with this certificate, PEM, and those that vouch for it");
  auto* const key = option("--tls-key", "FILE", o.http.tls_key, "The certificate's key, PEM");
  certificate->needs(key);
  key->needs(certificate);
  option("--unix-socket", "FILE", o.http.unix_socket, "Listen at a socket that is a file instead")
      ->excludes(host)
      ->excludes(port)
      ->excludes(certificate);
  option("--api-key", "KEY", o.api_keys, "Answer those only who know it (repeatable)")
      ->allow_extra_args(false);
  option("--api-key-file", "FILE", o.api_key_file, "The same, a key a line");
  option("--allow-origin", "ORIGIN", o.http.gate.allowed_origins,
         "Let pages of it ask: https://chat.example, app://*, * (repeatable)")
      ->allow_extra_args(false);
  option("--allow-host", "NAME", o.http.gate.allowed_hosts,
         "A name of this machine that clients use (repeatable)")
      ->allow_extra_args(false);
  command
      .add_flag("--allow-pull", o.allow_pull,
                "Let those who may ask have models pulled from the hub into the store "
                "(/api/pull)")
      ->group(kNetwork);
  command
      .add_flag(
          "--isolate-keys", o.isolates_clients,
          "Use for a key (or, without keys, an address) only what was cached for it, in memory: no "
          "timing tells what others asked")
      ->group(kNetwork);
  option("--max-connections", "N", o.http.most_connections,
         "Connections at once; --ram may allow fewer (default: 512)")
      ->check(at_least(1))
      ->each([&o](const std::string&) { o.asks_for_connections = true; });
  option("--max-answers", "N", o.most_answers, "Answers on their way at once (default: 64)")
      ->check(at_least(1));
  option("--drain", "SECONDS", o.drain_seconds,
         "Time for answers on their way when the end is asked for (default: 30)")
      ->check(CLI::Range(0.0, 1e6));
}

void add_memory_options(CLI::App& command, ServeOptions& o) {
  constexpr const char* kModels = "Several models";
  command
      .add_option_function<double>(
          "--idle-unload",
          [&o](double seconds) {
            o.loading.idle_time = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1e3));
          },
          "Let a model go that nobody has used for so long; it is loaded again when asked for "
          "(default: never)")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 1e9))
      ->group(kModels);
  command
      .add_option("--max-models", o.loading.most_loaded,
                  "Models loaded at once, which share --ram; the one used longest ago goes for "
                  "another (default: all)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024))
      ->group(kModels);
  command
      .add_option("--chat-template", o.chat_template,
                  "Jinja file to use instead of the model's template")
      ->type_name("FILE");
  command
      .add_option("--answer-tokens", o.loading.usual_answer,
                  "Most tokens of an answer whose request names no number (default: what the "
                  "context holds)")
      ->type_name("N")
      ->check(at_least(1))
      ->group("Many answers at once");
  command
      .add_option_function<std::string>(
          "--keep-responses",
          [&o](const std::string& size) { o.responses.bytes = parse_bytes(size); },
          "Most bytes of responses kept for previous_response_id, for a day at most; 0 keeps none "
          "(default: 64MB)")
      ->type_name("SIZE")
      ->group("Many answers at once");
}

void add_log_options(CLI::App& command, ServeOptions& o) {
  constexpr const char* kLog = "Log";
  auto* const log = command.add_flag("--log", o.log,
                                     "Lines about each request and answer on stderr; never what "
                                     "they say");
  log->group(kLog);
  command
      .add_option_function<std::string>(
          "--log-format",
          [&o](const std::string& name) {
            o.log_format = name == "json" ? server::LogFormat::json : server::LogFormat::text;
          },
          "text or json (default: text)")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"text", "json"}))
      ->needs(log)
      ->group(kLog);
  command.add_flag("--log-prompts", o.log_prompts, "And what models are told")
      ->needs(log)
      ->group(kLog);
}

void add_scheduling_options(CLI::App& command, ServeOptions& o) {
  constexpr const char* kScheduling = "Many answers at once";
  engine::EngineOptions& engine = o.model.engine;
  command
      .add_option_function<std::string>(
          "--scheduling",
          [&engine](const std::string& name) { engine.scheduling = engine::policy_named(name); },
          "How prompts share steps with answers under way: balanced, prefill-first, latency "
          "(default: balanced)")
      ->type_name("POLICY")
      ->group(kScheduling);
  command
      .add_option("--parallel", engine.n_sequences,
                  "Answers for which --ram keeps memory; more wait while there is none "
                  "(default: 1)")
      ->type_name("N")
      ->needs("--ram")
      ->check(CLI::Range(1, 1024))
      ->group(kScheduling);
  command
      .add_option_function<std::string>(
          "--prompt-cache",
          [&engine](const std::string& size) { engine.prefix_cache = parse_bytes(size); },
          "Most keys and values kept for prompts to come; 0 keeps none (default: 8GB)")
      ->type_name("SIZE")
      ->group(kScheduling);
  const auto size = [&command](const char* name, std::optional<Bytes>& bytes, const char* help) {
    return command
        .add_option_function<std::string>(
            name, [&bytes](const std::string& given) { bytes = parse_bytes(given); }, help)
        ->type_name("SIZE")
        ->group(kScheduling);
  };
  CLI::Option* const cap =
      size("--disk-cache", o.disk_cache,
           "Most of them kept on disk, for the next start too; remembered (default: 10GB)");
  CLI::Option* const daily = size("--disk-cache-daily", o.disk_cache_daily,
                                  "Most that is written there in a day (default: 20GB)");
  command
      .add_flag("--no-disk-cache", o.no_disk_cache,
                "Keep nothing of prompts on disk, and look for nothing there")
      ->excludes(cap)
      ->excludes(daily)
      ->group(kScheduling);
}

}  // namespace

void add_serve(CLI::App& app, Globals& globals) {
  CLI::App& command =
      add_command(app, "serve", "Answer OpenAI's, Anthropic's and Ollama's clients over HTTP",
                  "sluice serve org/chat-model\n"
                  "sluice serve org/chat-model --alias 'claude-*=org/chat-model' --log\n"
                  "sluice serve --model small=org/chat-model --model base=org/base-model\n"
                  "sluice serve org/chat-model --host 0.0.0.0 --api-key-file keys.txt");
  const auto o = std::make_shared<ServeOptions>();
  o->model.engine.prefix_cache = Bytes{8'000'000'000};
  add_model_options(command, o->model);
  add_speculation_options(command, o->model);
  add_snap_kv_option(command, o->model);
  command.get_option("MODEL")->required(false);  // then it is the default model
  command.add_option("--model", o->more_models, "One more, loaded when asked for (repeatable)")
      ->type_name("NAME=MODEL")
      ->allow_extra_args(false);
  command
      .add_option("--alias", o->aliases,
                  "Another name for a model; * at its end stands for any rest (repeatable)")
      ->type_name("ALIAS=NAME")
      ->allow_extra_args(false);
  add_scheduling_options(command, *o);
  add_network_options(command, *o);
  add_memory_options(command, *o);
  add_log_options(command, *o);
  add_sampling_options(command, o->sampling);
  command.remove_option(command.get_option("--seed"));  // requests have theirs
  add_quiet_flag(command, globals);
  command.callback([o, &globals] { serve(*o, globals); });
}

}  // namespace sluice::cli
