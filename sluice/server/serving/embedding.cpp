#include "sluice/server/serving/embedding.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "sluice/base/error.h"
#include "sluice/decode/pooler.h"
#include "sluice/engine/embed.h"

namespace sluice::server {

/// Hands what the engine's thread says to the strand, and lets go of the embedding there.
class Embedding::Hearing : public engine::Listener {
 public:
  Hearing(std::shared_ptr<Embedding> embedding, size_t index)
      : embedding_(std::move(embedding)), index_(index) {}

  void on_token(engine::Event) override {}
  void on_end(engine::Result result) override {
    post([index = index_, result = std::move(result)](Embedding& e) mutable {
      e.on_vector(index, std::move(result));
    });
  }
  void on_error(std::exception_ptr error) override {
    post([error = std::move(error)](Embedding& e) { e.on_error(error); });
  }

 private:
  template <typename What>
  void post(What what) {
    const std::shared_ptr<Exchange> exchange = embedding_->exchange_;
    exchange->post([embedding = std::move(embedding_), what = std::move(what)]() mutable {
      what(*embedding);
      embedding->count_one();
    });
  }

  std::shared_ptr<Embedding> embedding_;
  const size_t index_;
};

Embedding::Embedding(std::shared_ptr<Exchange> exchange, std::shared_ptr<ServedModel> model,
                     EmbedAsk ask, Observer& observer)
    : exchange_(std::move(exchange)),
      model_(std::move(model)),
      ask_(std::move(ask)),
      observer_(observer) {}

void Embedding::begin() {
  const int64_t width = model_->info().hidden_size;
  if (ask_.dimensions.value_or(1) > width) {
    throw Refusal::field("dimensions", fmt::format("dimensions: is {}, the model's vectors have {}",
                                                   *ask_.dimensions, width));
  }
  std::vector<engine::Request> requests;
  try {
    for (size_t i = 0; i < n(); ++i) {
      engine::Request request = engine::embedding_request(model_->engine(), tokens_of(i));
      request.client = exchange_->request().client;
      usage_.prompt_tokens += std::ssize(request.tokens);
      requests.push_back(std::move(request));
    }
  } catch (const Error& error) {
    throw Refusal(400, error.what());
  }
  vectors_.resize(n());
  try {
    for (size_t i = 0; i < n(); ++i) {
      generations_.push_back(
          engine::begin_generation(model_->engine(), std::move(requests[i]),
                                   std::make_shared<Hearing>(shared_from_this(), i)));
    }
  } catch (...) {
    failed_ = true;
    n_ended_ = n() + 1;  // what has begun tells nobody
    generations_.clear();
    throw Refusal(refusal_of(std::current_exception()));
  }
  exchange_->watch(shared_from_this());
}

/// Control tokens in a text are no such. A text that is cut keeps what the tokenizer puts at its end.
std::vector<text::Token> Embedding::tokens_of(size_t index) const {
  const auto& input = ask_.inputs[index];
  const text::Tokenizer& tokenizer = model_->engine().tokenizer();
  const int64_t context = model_->info().context;
  const auto* said = std::get_if<std::string>(&input);
  std::vector<text::Token> tokens =
      said != nullptr ? tokenizer.encode(*said, {.add_bos = true, .parse_special = false})
                      : std::get<std::vector<text::Token>>(input);
  if (tokens.empty()) {
    throw Refusal::field("input", fmt::format("input: text {} is empty, it has no vector", index));
  }
  model_->engine().check_ids(tokens);
  if (std::ssize(tokens) <= context) return tokens;
  if (!ask_.truncate) {
    throw Refusal::context_overflow({.context = context, .prompt_tokens = std::ssize(tokens)});
  }
  const int64_t n_end = tokenizer.is_special(tokens.back()) ? 1 : 0;
  tokens.erase(tokens.begin() + (context - n_end), tokens.end() - n_end);
  return tokens;
}

void Embedding::on_vector(size_t index, engine::Result result) {
  usage_.queued_seconds = std::max(usage_.queued_seconds, result.queued_seconds);
  usage_.prefill_seconds = std::max(usage_.prefill_seconds, result.prefill_seconds);
  vectors_[index] = ask_.dimensions && !result.vector.empty()
                        ? decode::shortened(result.vector, *ask_.dimensions)
                        : std::move(result.vector);
}

void Embedding::on_error(const std::exception_ptr& error) {
  if (gone_ || std::exchange(failed_, true)) return;
  exchange_->reply(observer_.refuse(exchange_->request(), refusal_of(error)));
  cancel_all();
}

void Embedding::count_one() {
  if (++n_ended_ != n()) return;
  observer_.on_end(*this);
  if (!gone_ && !failed_) {
    const std::string& name = ask_.model.empty() ? model_->name() : ask_.model;
    exchange_->reply({.body = embeddings_body(ask_, name, vectors_, usage_)});
  }
  exchange_->finish();
  exchange_->watch(nullptr);
  generations_.clear();
}

void Embedding::on_gone() {
  gone_ = true;
  cancel_all();
}

void Embedding::cancel_all() {
  for (const auto& generation : generations_) generation->cancel();
}

}  // namespace sluice::server
