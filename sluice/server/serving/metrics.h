#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "sluice/server/ask.h"

namespace sluice::server {

/// Counters and histograms of a server, as Prometheus reads them. Of any thread.
class Metrics {
 public:
  explicit Metrics(const std::string& version);
  ~Metrics();

  /// api: "openai", "anthropic", "ollama", "lmstudio", "llama" or "other". status 499: the client left.
  void count_request(std::string_view api, int status);
  void count_tokens(const Usage& usage);
  void note_first_token(double seconds);
  void note_next_token(double seconds);
  void set_running(int64_t n);
  void set_waiting(int64_t n);
  void set_memory(std::string_view owner, double bytes);
  void set_budget(double bytes);

  /// What a model did since it was loaded.
  struct ModelTotals {
    double weights_read = 0, prompts_written = 0;  ///< bytes
    double expert_hits = 0, expert_misses = 0;
  };
  /// Adds what is new since the last call; one that is loaded anew begins at 0.
  void count_model(const std::string& name, const ModelTotals& totals);

  /// The text format, version 0.0.4.
  std::string text() const;
  static constexpr const char* kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::server
