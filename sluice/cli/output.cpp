#include "sluice/cli/output.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/cli/terminal.h"

namespace sluice::cli {
void print(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EPIPE) {
      throw BrokenPipe{};
    } else if (errno != EINTR) {
      fail(ErrorKind::io, "stdout: cannot write: {}", std::strerror(errno));
    }
  }
}

void print_text(std::string_view text) {
  print(stdout_is_terminal() ? printable_text(text) : std::string(text));
}

void print_json(const nlohmann::json& value) {
  const bool ascii = stdout_is_terminal();
  print(value.dump(-1, ' ', ascii, nlohmann::json::error_handler_t::replace) + "\n");
}

void note(std::string_view text) {
  const std::string line = printable(text) + '\n';
  // Nothing useful is left to do when stderr is gone.
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, line.data(), line.size());
}

void warn(std::string_view text) { note("sluice: " + std::string(text)); }

}  // namespace sluice::cli
