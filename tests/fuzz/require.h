#pragma once

#include <cstdio>
#include <cstdlib>

/// Ends the process, which the fuzzer reports with its input, when something a reader promises is not so.
/// Unlike assert it holds in every build type.
inline void require(bool promise, const char* what) {
  if (promise) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}
