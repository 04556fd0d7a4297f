#include "python/bindings/stream.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <utility>

#include "sluice/base/error.h"

namespace sluice::python {
namespace {

namespace nb = nanobind;

/// How long a signal may wait for its handler.
constexpr std::chrono::milliseconds kBetweenSignals{20};

nb::object as_object(Message message, size_t vocab_size) {
  if (const auto* progress = std::get_if<Progress>(&message))
    return nb::make_tuple(progress->done, progress->total);
  Chosen& chosen = std::get<Chosen>(message);
  engine::Event& event = chosen.event;
  nb::object logits = nb::none();
  if (chosen.logits) logits = nb::cast(as_numpy(std::move(chosen.logits), vocab_size));
  nb::object top = nb::none();
  if (event.logprob) {
    nb::list all;
    for (const engine::TokenLogprob& t : event.top) all.append(nb::make_tuple(t.token, t.logprob));
    top = all;
  }
  return nb::make_tuple(event.token, nb::str(event.text.data(), event.text.size()),
                        nb::cast(event.logprob), top, logits);
}

}  // namespace

Stream::Stream(std::shared_ptr<engine::Engine> engine, std::shared_ptr<engine::Session> session,
               engine::Request request, Hooks hooks)
    : engine_(std::move(engine)),
      session_(std::move(session)),
      mailbox_(std::make_shared<Mailbox>()) {
  if (!hooks.processor.is_none() || !hooks.sampler.is_none() || hooks.keeps_logits) {
    const auto eos = request.ignore_eos ? std::vector<text::Token>{} : engine_->tokenizer().eos();
    request.constraint = std::make_shared<Chooser>(std::move(hooks), mailbox_, request.tokens, eos);
  }
  const nb::gil_scoped_release no_gil;
  generation_ = session_ ? session_->begin(std::move(request), mailbox_)
                         : engine::begin_generation(*engine_, std::move(request), mailbox_);
}

nb::object Stream::next() {
  while (true) {
    std::optional<Message> message;
    {
      const nb::gil_scoped_release no_gil;
      message = mailbox_->next(kBetweenSignals);
    }
    if (message)
      return as_object(std::move(*message), static_cast<size_t>(engine_->config().vocab_size));
    if (PyErr_CheckSignals() != 0) {
      generation_->cancel();
      throw nb::python_error();
    }
    if (mailbox_->has_ended()) {
      (void)mailbox_->result();
      return nb::none();
    }
  }
}

nb::object Stream::poll() {
  auto message = mailbox_->next(std::chrono::milliseconds(0));
  if (message)
    return as_object(std::move(*message), static_cast<size_t>(engine_->config().vocab_size));
  if (mailbox_->has_ended()) (void)mailbox_->result();
  return nb::none();
}

nb::object Stream::end_logits() {
  Floats logits = mailbox_->take_end_logits();
  if (!logits) return nb::none();
  return nb::cast(as_numpy(std::move(logits), static_cast<size_t>(engine_->config().vocab_size)));
}

const engine::Result& Stream::result() const {
  if (!mailbox_->has_ended())
    fail(ErrorKind::bad_request, "this answer is still on its way: read it to its end first");
  return mailbox_->result();
}

namespace {

void bind_sampling(nb::module_& module) {
  using decode::SamplerConfig;
  nb::class_<SamplerConfig>(module, "Sampling")
      .def(nb::init<>())
      .def_rw("temperature", &SamplerConfig::temperature)
      .def_rw("top_k", &SamplerConfig::top_k)
      .def_rw("top_p", &SamplerConfig::top_p)
      .def_rw("min_p", &SamplerConfig::min_p)
      .def_rw("xtc_probability", &SamplerConfig::xtc_probability)
      .def_rw("xtc_threshold", &SamplerConfig::xtc_threshold)
      .def_rw("repetition_penalty", &SamplerConfig::repetition_penalty)
      .def_rw("presence_penalty", &SamplerConfig::presence_penalty)
      .def_rw("frequency_penalty", &SamplerConfig::frequency_penalty)
      .def_rw("penalty_window", &SamplerConfig::penalty_window)
      .def_rw("logit_bias", &SamplerConfig::logit_bias)
      .def_rw("seed", &SamplerConfig::seed);
}

void bind_request(nb::module_& module) {
  using engine::Request;
  nb::class_<Request>(module, "Request")
      .def(nb::init<>())
      .def_rw("tokens", &Request::tokens)
      .def_rw("max_tokens", &Request::max_tokens)
      .def_rw("sampling", &Request::sampling)
      .def_rw("stop", &Request::stop)
      .def_rw("ignore_eos", &Request::ignore_eos)
      .def_rw("continues_text", &Request::continues_text)
      .def_rw("top_logprobs", &Request::top_logprobs)
      .def_rw("client", &Request::client);
}

void bind_result(nb::module_& module) {
  using engine::Result;
  nb::class_<Result>(module, "Result")
      .def_ro("text", &Result::text)
      .def_ro("tokens", &Result::tokens)
      .def_ro("prompt_tokens", &Result::prompt_tokens)
      .def_ro("reused_tokens", &Result::reused_tokens)
      .def_ro("queued_seconds", &Result::queued_seconds)
      .def_ro("prefill_seconds", &Result::prefill_seconds)
      .def_ro("decode_seconds", &Result::decode_seconds)
      .def_ro("stop_string", &Result::stop_string)
      .def_ro("n_held", &Result::n_held)
      .def_prop_ro("guessed_tokens", [](const Result& r) { return r.drafted.tokens; })
      .def_prop_ro("right_guesses", [](const Result& r) { return r.drafted.accepted; })
      .def_prop_ro("pruned",
                   [](const Result& r) {
                     return r.pruned ? std::optional(std::pair(r.pruned->kept, r.pruned->of))
                                     : std::nullopt;
                   })
      .def_prop_ro("prefill_tps", &Result::prefill_tps)
      .def_prop_ro("decode_tps", &Result::decode_tps)
      .def_prop_ro("finish_reason",
                   [](const Result& r) { return engine::to_string(r.finish_reason); });
}

}  // namespace

void bind_stream(nb::module_& module) {
  bind_sampling(module);
  bind_request(module);
  bind_result(module);
  nb::class_<Stream>(module, "Stream")
      .def("next", &Stream::next)
      .def("poll", &Stream::poll)
      .def("cancel", &Stream::cancel)
      .def("notify", &Stream::notify)
      .def("has_ended", &Stream::has_ended)
      .def("end_logits", &Stream::end_logits)
      .def("result", &Stream::result, nb::rv_policy::copy);
}

}  // namespace sluice::python
