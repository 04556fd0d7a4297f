#pragma once

#include <atomic>
#include <string_view>

namespace sluice::cli {

/// From here on SIGINT, SIGTERM and SIGHUP, unless the parent had them ignored, first remove half-written files and
/// give the terminal back. Then the program dies of them all the same, which tells a shell to end its loop; it shows
/// 128 + the signal's number as exit code.
void handle_signals();

/// While it lives, signals ask for an end instead. One at a time.
///   nothing heard -> asked (the first signal) -> dead (the second, under Of::all)
class Cancellation {
 public:
  enum class Of {
    all,         ///< of a command: it winds up and calls end_if_cancelled()
    interrupts,  ///< of an answer in a chat: SIGINT alone, as often as it comes; the chat goes on
  };
  explicit Cancellation(Of of);
  ~Cancellation();
  Cancellation(const Cancellation&) = delete;
  Cancellation& operator=(const Cancellation&) = delete;

  /// Becomes true when the end is asked for.
  const std::atomic<bool>& asked() const;
  /// Forgets what was asked.
  void reset();
};

/// Dies of the signal that a Cancellation of all heard, if one did.
void end_if_cancelled();

/// What a signal that ends the program writes to stdout; at most 64 bytes.
void set_terminal_reset(std::string_view bytes);

}  // namespace sluice::cli
