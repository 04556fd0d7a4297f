#include "python/bindings/engine.h"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "python/bindings/logits.h"
#include "python/bindings/stream.h"
#include "python/bindings/tokenizer.h"
#include "sluice/base/error.h"
#include "sluice/engine/draft_governor.h"
#include "sluice/engine/draft_model.h"
#include "sluice/engine/embed.h"
#include "sluice/engine/engine.h"
#include "sluice/engine/hub/model_store.h"
#include "sluice/engine/residency_json.h"
#include "sluice/engine/session.h"
#include "sluice/residency/machine/memory.h"

namespace sluice::python {
namespace {

namespace nb = nanobind;

/// Its end waits for a thread that may be in a hook, which needs the GIL.
template <typename T>
std::shared_ptr<T> freed_without_gil(std::unique_ptr<T> owned) {
  return std::shared_ptr<T>(owned.release(), [](T* dying) {
    if (PyGILState_Check() == 0) {
      delete dying;
      return;
    }
    const nb::gil_scoped_release no_gil;
    delete dying;
  });
}

template <typename T>
T& alive(const std::shared_ptr<T>& pointer, const char* what) {
  if (!pointer) fail(ErrorKind::bad_request, "this {} was closed", what);
  return *pointer;
}

struct EngineRef {
  std::shared_ptr<engine::Engine> held;
  engine::Engine& operator*() const { return alive(held, "engine"); }
  engine::Engine* operator->() const { return &**this; }
};

struct SessionRef {
  std::shared_ptr<engine::Engine> engine;  // outlives the session
  std::shared_ptr<engine::Session> held;

  SessionRef(const EngineRef& of, std::optional<std::string> salt) : engine(of.held) {
    engine::Engine& e = *of;
    held = freed_without_gil(salt ? std::make_unique<engine::Session>(e, *salt)
                                  : std::make_unique<engine::Session>(e));
  }
  void close() {
    held.reset();
    engine.reset();
  }
  ~SessionRef() { close(); }
  SessionRef(const SessionRef&) = delete;
  SessionRef& operator=(const SessionRef&) = delete;
};

/// draft_model: guesses tokens for it; nullopt: none does.
EngineRef open(const std::string& model, const engine::EngineOptions& options,
               const std::optional<std::string>& draft_model) {
  const nb::gil_scoped_release no_gil;
  engine::EngineOptions mine = options;
  mine.cache = engine::ModelStore::default_root();
  const engine::ModelStore store;
  const auto path = store.resolve(model);
  if (!draft_model) return {freed_without_gil(engine::Engine::open(path, mine))};
  return {freed_without_gil(engine::open_with_draft(path, store.resolve(*draft_model), mine))};
}

/// float32 [n - first, vocab_size]: what follows each token from `first` on.
Array2 logits(const EngineRef& engine, const std::vector<text::Token>& tokens, int64_t first) {
  engine::Engine& e = *engine;
  const auto n = std::ssize(tokens);
  if (first < 0 || first >= n)
    fail(ErrorKind::bad_request, "first is {}, it must be from 0 to {}", first, n - 1);
  if (n > e.context())
    fail(ErrorKind::bad_request, "{} tokens do not fit the context of {}", n, e.context());
  e.check_ids(tokens);
  const auto vocab = static_cast<size_t>(e.config().vocab_size);
  const auto rows = static_cast<size_t>(n - first);
  Floats all = std::make_unique_for_overwrite<float[]>(rows * vocab);
  {
    const nb::gil_scoped_release no_gil;
    e.logits(tokens, first, [&](int64_t position, std::span<const float> row) {
      std::ranges::copy(row, all.get() + static_cast<size_t>(position - first) * vocab);
    });
  }
  return as_numpy(std::move(all), rows, vocab);
}

/// float32 [n, hidden_size]: a vector of length 1 for each text.
Array2 embed(const EngineRef& engine, const std::vector<std::vector<text::Token>>& texts) {
  engine::Engine& e = *engine;
  const auto width = static_cast<size_t>(e.config().hidden_size);
  Floats all = std::make_unique_for_overwrite<float[]>(texts.size() * width);
  {
    const nb::gil_scoped_release no_gil;
    const auto vectors = engine::embed(e, texts);
    for (size_t i = 0; i < vectors.size(); ++i)
      std::ranges::copy(vectors[i], all.get() + i * width);
  }
  return as_numpy(std::move(all), texts.size(), width);
}

/// What decides whether a word is an option's.
template <typename T>
T word_of(const char* option, std::string_view given,
          std::initializer_list<std::pair<std::string_view, T>> words) {
  std::string known;
  for (const auto& [word, value] : words) {
    if (word == given) return value;
    known += (known.empty() ? "" : ", ") + std::string(word);
  }
  fail(ErrorKind::bad_request, "{} is '{}', it must be one of {}", option, given, known);
}

void set_ram(engine::EngineOptions& options, const std::string& size) {
  options.ram =
      size == "auto" ? residency::automatic_budget(residency::memory_state()) : parse_bytes(size);
}

void bind_options(nb::module_& module) {
  using engine::EngineOptions;
  nb::class_<EngineOptions>(module, "EngineOptions")
      .def(nb::init<>())
      .def_rw("n_threads", &EngineOptions::n_threads)
      .def_rw("context", &EngineOptions::context)
      .def_rw("kv_reserve", &EngineOptions::kv_reserve)
      .def_rw("chunk", &EngineOptions::chunk)
      .def_rw("keep_prefixes", &EngineOptions::keep_prefixes)
      .def_rw("prefetch_experts", &EngineOptions::prefetch_experts)
      .def_rw("yield_memory", &EngineOptions::yield_memory)
      .def("set_ram", &set_ram)
      .def("set_prompt_folder",
           [](EngineOptions& o) {
             const auto root = engine::ModelStore::default_root();
             if (!root.empty()) o.disk_cache.folder = root / "prompts";
           })
      .def("set_activations",
           [](EngineOptions& o, std::string_view given) {
             o.activations = word_of<ops::Activations>("activations", given,
                                                       {{"int8", ops::Activations::int8},
                                                        {"refined", ops::Activations::refined},
                                                        {"float32", ops::Activations::float32}});
           })
      .def("set_kv_type",
           [](EngineOptions& o, std::string_view given) {
             o.load.kv_type = word_of<kernels::KvType>("kv_type", given,
                                                       {{"f32", kernels::KvType::f32},
                                                        {"f16", kernels::KvType::f16},
                                                        {"bf16", kernels::KvType::bf16}});
           })
      .def("set_state_type",
           [](EngineOptions& o, std::string_view given) {
             o.load.state_type = word_of<kernels::KvType>("state_type", given,
                                                          {{"f32", kernels::KvType::f32},
                                                           {"f16", kernels::KvType::f16},
                                                           {"bf16", kernels::KvType::bf16}});
           })
      .def("set_kv_bits",
           [](EngineOptions& o, std::string_view given, int64_t recent) {
             o.load.kv_code = word_of<kernels::KvCode>(
                 "kv_bits", given, {{"8", {8, 8}}, {"4", {4, 4}}, {"k8v4", {8, 4}}});
             if (recent < 0)
               fail(ErrorKind::bad_request, "kv_recent is {}, it must be 0 or more", recent);
             o.load.kv_recent = recent;
           })
      .def(
          "set_spill",
          [](EngineOptions& o, const std::string& folder, const std::optional<std::string>& limit) {
            o.spill.folder = folder;
            if (limit) o.spill.limit = parse_bytes(*limit);
          },
          nb::arg("folder"), nb::arg("limit").none())
      .def("set_max_kv_size", [](EngineOptions& o, int64_t size) { o.load.max_kv_size = size; })
      .def("set_snap_kv", [](EngineOptions& o, int64_t n_tokens) { o.snap_kv = n_tokens; })
      .def("set_speculation", [](EngineOptions& o, std::string_view given) {
        o.speculate(engine::speculating_named(given));
      });
}

nb::object template_source(const EngineRef& e) {
  const text::ChatTemplate* const own = e->chat_template();
  return own == nullptr ? nb::none() : nb::cast(own->source());
}

/// As JSON: the budget and what became of it; "null" without one.
std::string residency(const EngineRef& e) {
  return engine::residency_json(*e, e->statistics()).dump();
}

Stream begin(const EngineRef& e, engine::Request request, nb::object processor, nb::object sampler,
             bool keeps_logits) {
  (void)*e;
  return {e.held, nullptr, std::move(request),
          Hooks{std::move(processor), std::move(sampler), keeps_logits}};
}

Stream begin_in_session(const SessionRef& s, engine::Request request, nb::object processor,
                        nb::object sampler, bool keeps_logits) {
  (void)alive(s.held, "session");
  return {s.engine, s.held, std::move(request),
          Hooks{std::move(processor), std::move(sampler), keeps_logits}};
}

}  // namespace

void bind_engine(nb::module_& module) {
  bind_options(module);
  const auto processor = nb::arg("processor").none(), sampler = nb::arg("sampler").none();
  nb::class_<EngineRef>(module, "Engine")
      .def_static("open", &open, nb::arg("model"), nb::arg("options"),
                  nb::arg("draft_model").none())
      .def("close", [](EngineRef& e) { e.held.reset(); })
      .def_prop_ro("is_closed", [](const EngineRef& e) { return e.held == nullptr; })
      .def_prop_ro("context", [](const EngineRef& e) { return e->context(); })
      .def_prop_ro("architecture", [](const EngineRef& e) { return e->config().architecture; })
      .def_prop_ro("vocab_size", [](const EngineRef& e) { return e->config().vocab_size; })
      .def_prop_ro("hidden_size", [](const EngineRef& e) { return e->config().hidden_size; })
      .def_prop_ro("n_layers", [](const EngineRef& e) { return e->config().n_layers; })
      .def_prop_ro("activations", [](const EngineRef& e) { return e->activations(); })
      .def_prop_ro("left_out", [](const EngineRef& e) { return e->left_out(); })
      .def_prop_ro("load_seconds", [](const EngineRef& e) { return e->load_seconds(); })
      .def_prop_ro("file_bytes", [](const EngineRef& e) { return e->file_bytes().count; })
      .def_prop_ro("kv_bytes", [](const EngineRef& e) { return e->kv_bytes().count; })
      .def_prop_ro("chat_template", &template_source)
      .def("residency", &residency)
      .def("tokenizer", [](const EngineRef& e) { return Tokenizer(e.held); })
      .def("logits", &logits, nb::arg("tokens"), nb::arg("first"))
      .def("embed", &embed, nb::arg("texts"))
      .def("begin", &begin, nb::arg("request"), processor, sampler, nb::arg("keeps_logits"))
      .def("flush", [](const EngineRef& e) {
        const nb::gil_scoped_release no_gil;
        e->flush_disk_cache(std::chrono::minutes(1));
      });
  nb::class_<SessionRef>(module, "Session")
      .def(nb::init<const EngineRef&, std::optional<std::string>>(), nb::arg("engine"),
           nb::arg("salt").none())
      .def("begin", &begin_in_session, nb::arg("request"), processor, sampler,
           nb::arg("keeps_logits"))
      .def("reset",
           [](SessionRef& s) {
             engine::Session& session = alive(s.held, "session");
             const nb::gil_scoped_release no_gil;
             session.reset();
           })
      .def("close", &SessionRef::close);
}

}  // namespace sluice::python
