#include "sluice/cli/stderr_log.h"

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <memory>

namespace sluice::cli {
namespace {

constexpr size_t kMostLines = 8192;

}  // namespace

std::function<void(std::string_view)> open_stderr_log() {
  const auto pool = std::make_shared<spdlog::details::thread_pool>(kMostLines, 1);
  const auto logger = std::make_shared<spdlog::async_logger>(
      "requests", std::make_shared<spdlog::sinks::stderr_sink_mt>(), pool,
      spdlog::async_overflow_policy::overrun_oldest);
  logger->set_pattern("%v");
  return [pool, logger](std::string_view line) { logger->info(line); };
}

}  // namespace sluice::cli
