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

  /// api: "openai", "anthropic", "ollama" or "other". status 499: the client left.
  void count_request(std::string_view api, int status);
  void count_tokens(const Usage& usage);
  void note_first_token(double seconds);
  void note_next_token(double seconds);
  void set_running(int64_t n);
  void set_memory(std::string_view owner, double bytes);

  /// The text format, version 0.0.4.
  std::string text() const;
  static constexpr const char* kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::server
