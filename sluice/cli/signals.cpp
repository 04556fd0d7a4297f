#include "sluice/cli/signals.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "sluice/base/atomic_file.h"

namespace sluice::cli {
namespace {

// A handler may use no more than these, and what is async-signal-safe.
enum class Listening { no, all, interrupts };
std::atomic<Listening> listening{Listening::no};
std::atomic<bool> asked_to_end{false};
std::atomic<int> heard{0};  // the signal that a command winds up for
std::array<char, 64> terminal_reset{};
std::atomic<size_t> terminal_reset_size{0};
static_assert(std::atomic<Listening>::is_always_lock_free);

void die(int signal) {
  AtomicFile::remove_temporaries();
  // Nothing useful is left to do when the terminal is gone.
  [[maybe_unused]] const ssize_t ignored =
      ::write(STDOUT_FILENO, terminal_reset.data(), terminal_reset_size);
  std::signal(signal, SIG_DFL);
  sigset_t its_own;
  sigemptyset(&its_own);
  sigaddset(&its_own, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &its_own, nullptr);
  std::raise(signal);
  ::_exit(128 + signal);
}

void on_signal(int signal) {
  const Listening to = listening;
  if (to == Listening::interrupts && signal == SIGINT) {
    asked_to_end = true;
  } else if (to == Listening::all && !asked_to_end.exchange(true)) {
    heard = signal;
  } else {
    die(signal);
  }
}

}  // namespace

void handle_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (std::signal(signal, SIG_IGN) != SIG_IGN) std::signal(signal, on_signal);
  }
}

Cancellation::Cancellation(Of of) {
  reset();
  listening = of == Of::all ? Listening::all : Listening::interrupts;
}

Cancellation::~Cancellation() { listening = Listening::no; }

const std::atomic<bool>& Cancellation::asked() const { return asked_to_end; }

void Cancellation::reset() { asked_to_end = false; }

void end_if_cancelled() {
  if (heard != 0) die(heard);
}

void set_terminal_reset(std::string_view bytes) {
  terminal_reset_size = 0;
  const size_t n = std::min(bytes.size(), terminal_reset.size());
  std::copy_n(bytes.begin(), n, terminal_reset.begin());
  terminal_reset_size = n;
}

}  // namespace sluice::cli
