#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace sluice {

/// What kind of thing went wrong; each boundary (CLI exit codes, HTTP) translates it once.
enum class ErrorKind {
  bad_request,  ///< the caller asked for something impossible
  bad_model,    ///< a model file is damaged or contradicts itself
  unsupported,  ///< a well-formed model or option that Sluice does not implement
  over_budget,  ///< does not fit the memory budget
  io,           ///< a disk or network operation failed
  internal,     ///< our bug
};

/// The one exception Sluice throws. The message is one line: what, where, got, wanted, what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

/// Throws Error(kind) with an fmt-formatted message.
template <typename... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace sluice
