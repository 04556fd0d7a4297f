#include "sluice/engine/embed.h"

#include <future>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/engine/engine_impl.h"
#include "sluice/engine/generation.h"

namespace sluice::engine {
namespace {

class VectorListener : public Listener {
 public:
  std::future<std::vector<float>> vector() { return vector_.get_future(); }
  void on_token(Event) override {}
  void on_end(Result result) override { vector_.set_value(std::move(result.vector)); }
  void on_error(std::exception_ptr error) override { vector_.set_exception(std::move(error)); }

 private:
  std::promise<std::vector<float>> vector_;
};

}  // namespace

models::Pooling pooling_of(const Engine& engine) {
  const auto pooling = engine.impl().loaded.pooling;
  if (!pooling) {
    fail(ErrorKind::unsupported,
         "{}: the model makes its vectors by more than the mean or the last of its states (dense "
         "layers, a reranker), which is not computed, or its 1_Pooling/config.json is not here",
         engine.impl().path.filename().string());
  }
  return *pooling;
}

Request embedding_request(const Engine& engine, std::vector<text::Token> tokens) {
  Request request;
  request.pooling = pooling_of(engine);
  request.tokens = std::move(tokens);
  request.max_tokens = 0;
  return request;
}

std::vector<std::vector<float>> embed(Engine& engine,
                                      std::span<const std::vector<text::Token>> texts) {
  std::vector<std::unique_ptr<Generation>> generations;
  std::vector<std::future<std::vector<float>>> coming;
  for (const std::vector<text::Token>& tokens : texts) {
    const auto listener = std::make_shared<VectorListener>();
    coming.push_back(listener->vector());
    generations.push_back(begin_generation(engine, embedding_request(engine, tokens), listener));
  }
  std::vector<std::vector<float>> vectors;
  for (auto& vector : coming) vectors.push_back(vector.get());
  return vectors;
}

}  // namespace sluice::engine
