#pragma once

// For tests: the tiny mixture of the repository, within a budget and without.

#include <gtest/gtest.h>

#include <charconv>
#include <filesystem>
#include <memory>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/engine/engine.h"
#include "sluice/engine/session.h"
#include "sluice/io/formats/test_files.h"

namespace sluice::engine {

inline const std::filesystem::path kTinyMoe = SLUICE_TINY_MOE;

inline std::vector<text::Token> prompt(int n, int first = 100) {
  std::vector<text::Token> tokens;
  for (int i = 0; i < n; ++i) tokens.push_back(first + i * 37 % 4000);
  return tokens;
}

/// 300 tokens and once more the same ones, so that there is something to guess.
inline std::vector<text::Token> repeating_prompt(int n, int shift = 0) {
  std::vector<text::Token> tokens;
  for (int i = 0; i < n; ++i) tokens.push_back(100 + (i % 300 * 37 + shift) % 4000);
  return tokens;
}

inline Request sampled_request(const std::vector<text::Token>& tokens, int64_t n,
                               double temperature = 1.0) {
  Request request;
  request.tokens = tokens;
  request.max_tokens = n;
  request.ignore_eos = true;
  request.sampling = {.temperature = temperature, .seed = 3};
  return request;
}

/// Logits of all tokens, one row after the other.
inline std::vector<float> logits_of(Engine& engine, const std::vector<text::Token>& tokens) {
  std::vector<float> all;
  engine.logits(tokens, 0, [&](int64_t, std::span<const float> row) {
    all.insert(all.end(), row.begin(), row.end());
  });
  return all;
}

/// Of 12 tokens, or fewer when it is cancelled.
inline std::vector<text::Token> answer(Session& session, const std::vector<text::Token>& tokens,
                                       const std::atomic<bool>* cancel = nullptr) {
  Request request;
  request.tokens = tokens;
  request.max_tokens = 12;
  request.ignore_eos = true;
  request.cancel = cancel;
  return session.generate(request, [](const Event&) {}).tokens;
}

/// The least that the model runs in with these options.
inline Bytes least_ram(EngineOptions options, const std::filesystem::path& model = kTinyMoe) {
  options.ram = Bytes{1};
  const Error refused = io::error_of([&] { (void)Engine::open(model, options); });
  const std::string line = refused.what();
  const size_t at = line.find("at least ");
  if (at == std::string::npos) throw refused;
  Bytes least;
  std::from_chars(line.data() + at + 9, line.data() + line.size(), least.count);
  return least;
}

/// Opens with `more` bytes above the least. What the process has is left out: under a sanitizer that is
/// mostly the sanitizer's, and grows from one opening to the next.
inline std::unique_ptr<Engine> open_streamed(EngineOptions options, uint64_t more,
                                             const std::filesystem::path& model = kTinyMoe) {
  options.n_threads = 2;
  options.context = 512;
  options.baseline = Bytes{0};
  options.ram = least_ram(options, model) + Bytes{more};
  return Engine::open(model, options);
}

}  // namespace sluice::engine
