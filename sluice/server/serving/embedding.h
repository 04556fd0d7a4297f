#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <vector>

#include "sluice/engine/generation.h"
#include "sluice/server/dialects/data_asks.h"
#include "sluice/server/http/exchange.h"
#include "sluice/server/serving/served_model.h"

namespace sluice::server {

/// Answers one EmbedAsk: a vector for each of its texts, all told at once. All of it happens on the exchange's strand,
/// to which the engine's thread posts.
class Embedding : public Exchange::Watcher, public std::enable_shared_from_this<Embedding> {
 public:
  class Observer {
   public:
    virtual ~Observer() = default;
    virtual Reply refuse(const HttpRequest& request, const Refusal& refusal) = 0;
    virtual void on_end(const Embedding& embedding) = 0;  ///< exactly once
  };

  Embedding(std::shared_ptr<Exchange> exchange, std::shared_ptr<ServedModel> model, EmbedAsk ask,
            Observer& observer);

  /// Throws Refusal where it cannot be answered; then on_end() is not called.
  void begin();

  void on_gone() override;
  void on_slow(bool /*slow*/) override {}
  void on_quiet() override {}

  const HttpRequest& request() const { return exchange_->request(); }
  const std::string& model_name() const { return model_->name(); }
  const Usage& usage() const { return usage_; }
  size_t n() const { return ask_.inputs.size(); }

 private:
  class Hearing;
  std::vector<text::Token> tokens_of(size_t index) const;
  void on_vector(size_t index, engine::Result result);
  void on_error(const std::exception_ptr& error);
  void count_one();
  void cancel_all();

  const std::shared_ptr<Exchange> exchange_;
  const std::shared_ptr<ServedModel> model_;
  const EmbedAsk ask_;
  Observer& observer_;
  std::vector<std::unique_ptr<engine::Generation>> generations_;
  std::vector<std::vector<float>> vectors_;
  size_t n_ended_ = 0;
  Usage usage_;
  bool gone_ = false, failed_ = false;
};

}  // namespace sluice::server
