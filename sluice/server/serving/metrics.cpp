#include "sluice/server/serving/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <ctime>
#include <map>
#include <mutex>
#include <utility>

namespace sluice::server {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Registry;

const Histogram::BucketBoundaries kFirstToken{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
                                              2.5,  5,     10,   25,  60,   120, 300};
const Histogram::BucketBoundaries kNextToken{0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075,
                                             0.1,   0.15,  0.25, 0.5,  1,    2.5,  10};

Family<Counter>& counters(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

Family<Gauge>& gauges(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

Histogram& histogram(Registry& registry, const char* name, const char* help,
                     const Histogram::BucketBoundaries& buckets) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, buckets);
}

}  // namespace

struct Metrics::Impl {
  Registry registry;
  Family<Counter>& requests = counters(registry, "sluice_requests_total", "Requests answered");
  Counter& prompt =
      counters(registry, "sluice_prompt_tokens_total", "Tokens of prompts, cached ones too")
          .Add({});
  Counter& cached = counters(registry, "sluice_prompt_tokens_cached_total",
                             "Tokens of prompts that were not computed again")
                        .Add({{"tier", "ram"}});
  Counter& computed = counters(registry, "sluice_prompt_tokens_computed_total",
                               "Tokens of prompts that were computed")
                          .Add({});
  Counter& generated =
      counters(registry, "sluice_generated_tokens_total", "Tokens of answers").Add({});
  Counter& guessed = counters(registry, "sluice_guessed_tokens_total",
                              "Tokens that were guessed and checked (--speculate)")
                         .Add({});
  Counter& right_guesses =
      counters(registry, "sluice_right_guesses_total", "Of these, those that were right").Add({});
  Gauge& running = gauges(registry, "sluice_requests_running", "Answers on their way").Add({});
  Gauge& waiting =
      gauges(registry, "sluice_requests_waiting", "Of these, sequences without a place yet")
          .Add({});
  Family<Gauge>& budget = gauges(registry, "sluice_memory_budget_bytes", "--ram");
  Counter& weights_read =
      counters(registry, "sluice_disk_read_bytes_total", "Bytes read from disk, by what")
          .Add({{"what", "weights"}});
  Counter& prompts_written =
      counters(registry, "sluice_disk_written_bytes_total", "Bytes written to disk, by what")
          .Add({{"what", "prompt_cache"}});
  Family<Counter>& lookups =
      counters(registry, "sluice_cache_lookups_total", "What was looked for in memory");
  Counter& expert_hits = lookups.Add({{"cache", "experts"}, {"result", "hit"}});
  Counter& expert_misses = lookups.Add({{"cache", "experts"}, {"result", "miss"}});
  Family<Gauge>& memory = gauges(registry, "sluice_memory_bytes", "Memory by what it is for");
  Histogram& first_token = histogram(registry, "sluice_time_to_first_token_seconds",
                                     "From a request to its first token", kFirstToken);
  Histogram& next_token =
      histogram(registry, "sluice_inter_token_seconds", "Between a request's tokens", kNextToken);

  std::mutex mutex;                            // of what follows
  std::map<std::string, ModelTotals> counted;  // by model
};

Metrics::Metrics(const std::string& version) : impl_(std::make_unique<Impl>()) {
  gauges(impl_->registry, "sluice_build_info", "Which Sluice this is")
      .Add({{"version", version}})
      .Set(1);
  gauges(impl_->registry, "process_start_time_seconds", "When it was started")
      .Add({})
      .Set(static_cast<double>(std::time(nullptr)));
}

Metrics::~Metrics() = default;

void Metrics::count_request(std::string_view api, int status) {
  impl_->requests.Add({{"api", std::string(api)}, {"status", std::to_string(status)}}).Increment();
}

void Metrics::count_tokens(const Usage& usage) {
  impl_->prompt.Increment(static_cast<double>(usage.prompt_tokens));
  impl_->cached.Increment(static_cast<double>(usage.cached_tokens));
  impl_->computed.Increment(static_cast<double>(usage.prompt_tokens - usage.cached_tokens));
  impl_->generated.Increment(static_cast<double>(usage.completion_tokens));
  impl_->guessed.Increment(static_cast<double>(usage.guessed_tokens));
  impl_->right_guesses.Increment(static_cast<double>(usage.right_guesses));
}

void Metrics::note_first_token(double seconds) { impl_->first_token.Observe(seconds); }
void Metrics::note_next_token(double seconds) { impl_->next_token.Observe(seconds); }
void Metrics::set_running(int64_t n) { impl_->running.Set(static_cast<double>(n)); }

void Metrics::set_waiting(int64_t n) { impl_->waiting.Set(static_cast<double>(n)); }
void Metrics::set_budget(double bytes) { impl_->budget.Add({}).Set(bytes); }

void Metrics::count_model(const std::string& name, const ModelTotals& totals) {
  const std::lock_guard lock(impl_->mutex);
  const ModelTotals before = std::exchange(impl_->counted[name], totals);
  const auto add = [](Counter& counter, double now, double then) {
    counter.Increment(now >= then ? now - then : now);
  };
  add(impl_->weights_read, totals.weights_read, before.weights_read);
  add(impl_->prompts_written, totals.prompts_written, before.prompts_written);
  add(impl_->expert_hits, totals.expert_hits, before.expert_hits);
  add(impl_->expert_misses, totals.expert_misses, before.expert_misses);
}

void Metrics::set_memory(std::string_view owner, double bytes) {
  impl_->memory.Add({{"owner", std::string(owner)}}).Set(bytes);
}

std::string Metrics::text() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace sluice::server
