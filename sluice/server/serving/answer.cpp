#include "sluice/server/serving/answer.h"

#include <algorithm>
#include <ctime>
#include <random>
#include <utility>

#include "sluice/server/answers/answer_id.h"

namespace sluice::server {
namespace {

double seconds_between(std::chrono::steady_clock::time_point a,
                       std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

uint64_t drawn_seed() {
  std::random_device random;
  return (static_cast<uint64_t>(random()) << 32) | random();
}

}  // namespace

/// Hands what the engine's thread says to the strand.
class Answer::Hearing : public engine::Listener {
 public:
  Hearing(std::shared_ptr<Answer> answer, int choice)
      : answer_(std::move(answer)), choice_(choice) {}

  void on_admitted(int64_t /*prompt_tokens*/, int64_t cached_tokens) override {
    post([=](Answer& a, int i) { a.on_admitted(i, cached_tokens); });
  }
  void on_prompt(int64_t tokens) override {
    post([=](Answer& a, int i) { a.on_prompt(i, tokens); });
  }
  void on_token(engine::Event event) override {
    post([event = std::move(event)](Answer& a, int i) { a.on_token(i, event); });
  }
  void on_end(engine::Result result) override {
    post_last([result = std::move(result)](Answer& a, int i) { a.on_choice_end(i, result); });
  }
  void on_error(std::exception_ptr error) override {
    post_last([error = std::move(error)](Answer& a, int i) { a.on_error(i, error); });
  }

 private:
  template <typename What>
  void post(What what) {
    answer_->exchange_->post(
        [answer = answer_, choice = choice_, what = std::move(what)] { what(*answer, choice); });
  }
  /// Lets go of the answer: the last one who does lets go of its model, and the engine's thread, which holds this
  /// until its turn ends, cannot end itself.
  template <typename What>
  void post_last(What what) {
    const std::shared_ptr<Exchange> exchange = answer_->exchange_;
    exchange->post([answer = std::move(answer_), choice = choice_, what = std::move(what)] {
      what(*answer, choice);
    });
  }

  std::shared_ptr<Answer> answer_;
  const int choice_;
};

Answer::Answer(std::shared_ptr<Exchange> exchange, std::shared_ptr<ServedModel> model, Asked asked,
               Observer& observer)
    : exchange_(std::move(exchange)),
      model_(std::move(model)),
      ask_(std::move(asked.ask)),
      writer_(std::move(asked.writer)),
      warnings_(std::move(asked.warnings)),
      kept_(std::move(asked.kept)),
      observer_(observer) {}

void Answer::begin() {
  std::vector<Prompt> prompts = model_->prompts_of(ask_);
  for (const Prompt& prompt : prompts) {
    usage_.prompt_tokens += std::ssize(prompt.tokens);
    observer_.on_prompt(*this, prompt.text);
  }
  if (ask_.job != Job::answer) return tell_prompt(prompts.front());
  for (Prompt& prompt : prompts)
    prompt.markup.calls_as_they_come = writer_->tells_calls_as_they_come();
  const auto* text = std::get_if<Ask::Text>(&ask_.prompt);
  if (text != nullptr && text->echo) echo(prompts);
  begin_generations(prompts);
  exchange_->watch(shared_from_this());
  if (!ask_.stream) return;
  exchange_->start(writer_->content_type(), warnings());
}

void Answer::tell_prompt(const Prompt& prompt) {
  tell_head();
  if (ask_.job == Job::render) writer_->piece({.text = prompt.text}, whole_);
  writer_->finish(usage_, whole_);
  exchange_->reply({.content_type = writer_->content_type(), .body = std::move(whole_)});
}

void Answer::echo(const std::vector<Prompt>& prompts) {
  for (const Prompt& prompt : prompts) {
    Piece piece{.text = prompt.text};
    if (ask_.top_logprobs) piece.tokens = model_->scored_prompt(prompt, *ask_.top_logprobs);
    for (int i = 0; i < ask_.n; ++i) {
      piece.choice = static_cast<int>(echo_.size());
      echo_.push_back(piece);
    }
  }
}

Headers Answer::warnings() const {
  Headers headers;
  for (const std::string& warning : warnings_) headers.emplace_back("x-sluice-warning", warning);
  return headers;
}

void Answer::begin_generations(const std::vector<Prompt>& prompts) {
  const auto prompt_of = [&](int choice) -> const Prompt& {
    return prompts[static_cast<size_t>(choice / ask_.n)];
  };
  for (int i = 0; i < n(); ++i) {
    const Prompt& prompt = prompt_of(i);
    Choice& choice = choices_.emplace_back(prompt.markup);
    choice.progress.prompt_tokens = std::ssize(prompt.tokens);
    choice.progress.max_tokens = prompt.max_tokens;
    if (!prompt.begun.empty()) choice.begun = choice.splitter->push(prompt.begun);
  }
  const uint64_t seed = ask_.seed ? *ask_.seed : drawn_seed();
  try {
    for (int i = 0; i < n(); ++i) {
      engine::Request request = request_of(prompt_of(i));
      request.sampling.seed = seed + static_cast<uint64_t>(i % ask_.n);
      choices_[static_cast<size_t>(i)].generation = engine::begin_generation(
          model_->engine(), std::move(request), std::make_shared<Hearing>(shared_from_this(), i));
    }
  } catch (...) {
    failed_ = true;
    let_go();
    throw Refusal(refusal_of(std::current_exception()));
  }
}

engine::Request Answer::request_of(const Prompt& prompt) const {
  engine::Request request;
  request.tokens = prompt.tokens;
  request.max_tokens = prompt.max_tokens;
  request.sampling = ask_.sampling;
  request.stop = ask_.stop;
  request.stop.insert(request.stop.end(), prompt.stop.begin(), prompt.stop.end());
  request.ignore_eos = ask_.ignore_eos;
  request.continues_text = prompt.continues_text;
  request.top_logprobs = ask_.top_logprobs;
  request.client = exchange_->request().client;
  request.cache_salt = ask_.cache_salt;
  request.uses_disk = ask_.uses_disk_cache;
  request.prediction = model_->engine().tokenizer().encode(
      ask_.prediction, {.add_bos = false, .parse_special = false});
  request.constraint = model_->constraint_of(ask_.format, prompt);
  return request;
}

void Answer::tell_head() {
  head_told_ = true;
  Head head{.id = new_id(),
            .created = std::time(nullptr),
            .model = ask_.model.empty() ? model_->name() : ask_.model,
            .usage = usage_,
            .facts = {.architecture = model_->info().architecture,
                      .quantization = model_->info().quantization,
                      .format = model_->info().format,
                      .context = model_->info().context}};
  std::string out;
  writer_->begin(head, out);
  send(out);
}

void Answer::send(const std::string& bytes) {
  if (ask_.stream && ask_.job == Job::answer) {
    exchange_->write(bytes);
  } else {
    whole_ += bytes;
  }
}

void Answer::on_admitted(int index, int64_t cached_tokens) {
  change_progress(choices_[static_cast<size_t>(index)], [&](Progress& progress) {
    progress.state = Progress::State::prefill;
    progress.cached_tokens = progress.prompt_done = cached_tokens;
  });
  // Of each prompt once: its other answers find all of it.
  if (!head_told_ || (index > 0 && index % ask_.n == 0)) usage_.cached_tokens += cached_tokens;
  if (head_told_ || gone_ || failed_) return;
  usage_.queued_seconds = seconds_between(begun_, Clock::now());
  tell_head();
  for (int i = 0; i < n(); ++i) {
    Choice& choice = choices_[static_cast<size_t>(i)];
    tell(choice, i, std::exchange(choice.begun, {}));
  }
  std::string out;
  for (const Piece& piece : echo_) writer_->piece(piece, out);
  send(out);
}

void Answer::on_prompt(int index, int64_t tokens) {
  change_progress(choices_[static_cast<size_t>(index)],
                  [&](Progress& progress) { progress.prompt_done = tokens; });
}

void Answer::note_time(Choice& choice) {
  const auto now = Clock::now();
  change_progress(choice, [](Progress& progress) {
    progress.state = Progress::State::decode;
    progress.prompt_done = progress.prompt_tokens;
    ++progress.generated;
  });
  if (!choice.first_token) {
    choice.first_token = now;
    observer_.on_first_token(seconds_between(begun_, now));
  } else {
    observer_.on_next_token(seconds_between(*choice.last_token, now));
  }
  choice.last_token = now;
  const auto limit = ask_.max_decode_ms;
  if (limit && now - *choice.first_token >= std::chrono::milliseconds(*limit)) {
    choice.out_of_time = true;
    choice.generation->cancel();
  }
}

void Answer::on_token(int index, const engine::Event& event) {
  Choice& choice = choices_[static_cast<size_t>(index)];
  if (gone_ || failed_ || choice.has_enough) return;
  note_time(choice);
  if (ask_.top_logprobs && event.logprob) {
    ScoredToken token = model_->scored({event.token, *event.logprob});
    for (const engine::TokenLogprob& other : event.top) token.top.push_back(model_->scored(other));
    choice.scored.push_back(std::move(token));
  }
  const bool was_reasoning = choice.splitter->in_reasoning();
  std::vector<Piece> pieces =
      choice.splitter->push(event.text + std::string(model_->marker(event.token)));
  if (was_reasoning || choice.splitter->in_reasoning()) ++usage_.reasoning_tokens;
  const auto call_end = std::ranges::find(pieces, Piece::Kind::tool_end, &Piece::kind);
  if (call_end != pieces.end() && wants_one_call()) {
    pieces.erase(call_end + 1, pieces.end());
    choice.has_enough = true;
    choice.generation->cancel();
  }
  tell(choice, index, std::move(pieces));
}

bool Answer::wants_one_call() const {
  const auto* chat = std::get_if<Ask::Chat>(&ask_.prompt);
  return chat != nullptr && !chat->tool_choice.parallel;
}

void Answer::tell(Choice& choice, int index, std::vector<Piece> pieces) {
  if (pieces.empty()) return;
  pieces.front().tokens = std::exchange(choice.scored, {});
  std::string out;
  for (Piece& piece : pieces) {
    piece.choice = index;
    writer_->piece(piece, out);
  }
  send(out);
}

void Answer::on_choice_end(int index, const engine::Result& result) {
  Choice& choice = choices_[static_cast<size_t>(index)];
  change_progress(choice, [](Progress& progress) { progress.ended = true; });
  usage_.completion_tokens += std::ssize(result.tokens);
  usage_.guessed_tokens += result.drafted.tokens;
  usage_.right_guesses += result.drafted.accepted;
  if (result.pruned) {
    usage_.pruned_to += result.pruned->kept;
    usage_.pruned_from += result.pruned->of;
  }
  usage_.prefill_seconds = std::max(usage_.prefill_seconds, result.prefill_seconds);
  usage_.decode_seconds = std::max(usage_.decode_seconds, result.decode_seconds);
  if (!gone_ && !failed_) {
    if (!choice.has_enough) tell(choice, index, choice.splitter->finish());
    if (!choice.scored.empty()) tell(choice, index, {Piece{}});
    Ending ending{.choice = index,
                  .reason = choice.has_enough    ? engine::FinishReason::eos
                            : choice.out_of_time ? engine::FinishReason::max_tokens
                                                 : result.finish_reason,
                  .called_tools = choice.splitter->n_calls() > 0,
                  .stop_string = result.stop_string};
    std::string out;
    writer_->end(ending, out);
    send(out);
  }
  finish();
}

void Answer::on_error(int index, const std::exception_ptr& error) {
  change_progress(choices_[static_cast<size_t>(index)],
                  [](Progress& progress) { progress.ended = true; });
  if (!gone_ && !std::exchange(failed_, true)) {
    const Refusal refusal = refusal_of(error);
    if (ask_.stream) {
      std::string out;
      writer_->fail(refusal, out);
      exchange_->write(out);
      exchange_->finish();
    } else {
      exchange_->reply(observer_.refuse(exchange_->request(), refusal));
    }
    cancel_all();
  }
  finish();
}

/// Once all generations have ended. What the server notes of it is noted before the client hears its last word, and may
/// ask again.
void Answer::finish() {
  if (ended_ || !all_ended()) return;
  std::string out;
  if (!gone_ && !failed_) writer_->finish(usage_, out);
  ended_ = true;
  observer_.on_end(*this);
  if (!gone_ && !failed_) {
    send(out);
    if (!ask_.stream)
      exchange_->reply({.content_type = writer_->content_type(),
                        .body = std::move(whole_),
                        .headers = warnings()});
  }
  exchange_->finish();
  exchange_->watch(nullptr);
  let_go();
}

bool Answer::all_ended() const {
  return std::ranges::all_of(choices_, [](const Choice& c) { return c.progress.ended; });
}

/// Generations hold their listeners, which hold this.
void Answer::let_go() {
  for (Choice& choice : choices_) choice.generation.reset();
}

void Answer::on_gone() {
  gone_ = true;
  cancel_all();
  finish();  // where telling the last one's end has failed
}

void Answer::cancel_all() {
  for (Choice& choice : choices_) {
    if (choice.generation && !choice.progress.ended) choice.generation->cancel();
  }
}

void Answer::on_slow(bool slow) {
  for (Choice& choice : choices_) {
    if (choice.generation && !choice.progress.ended) choice.generation->set_paused(slow);
  }
}

void Answer::on_quiet() {
  if (ask_.stream && !ended_) exchange_->write(writer_->keep_alive());
}

std::vector<Progress> Answer::progress() const {
  const std::lock_guard lock(progress_mutex_);
  std::vector<Progress> all;
  for (const Choice& choice : choices_) {
    if (choice.progress.ended) continue;
    all.push_back(choice.progress);
    all.back().seconds = seconds_between(begun_, Clock::now());
  }
  return all;
}

}  // namespace sluice::server
