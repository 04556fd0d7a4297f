"""The program on a terminal of its own (a pty), driven as a user would."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from typing import Any

from program import BINARY

# The status row is drawn between "save cursor" and "restore cursor"; what is left is what scrolls by.
HIDDEN = re.compile(rb"\x1b7.*?\x1b8|\x1b\[[0-9;?]*[A-Za-z]", re.DOTALL)
PROMPT = "> "


class Terminal:
    """with Terminal(environment, "chat", MODEL) as terminal: terminal.ask("hello")"""

    def __init__(self, environment: dict[str, str], *arguments: Any) -> None:
        self.output = b""
        self.exit_code: int | None = None
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 160, 0, 0))
            os.execve(BINARY, [str(BINARY), *map(str, arguments)], environment | {"TERM": "xterm"})

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.exit_code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._terminal)

    def text(self) -> str:
        """What scrolled by, without escape sequences."""
        return HIDDEN.sub(b"", self.output).decode(errors="replace").replace("\r\n", "\n").replace("\r", "")

    def send(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def wait_for(self, pattern: str, after: int = 0, timeout_s: float = 20) -> str:
        """The text from `after` on, once the pattern is in it."""
        deadline = time.monotonic() + timeout_s
        while not re.search(pattern, self.text()[after:]):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.text()[after:][-2000:]!r}"
            assert self._read(), f"the program ended without {pattern!r}: {self.text()[after:]!r}"
        return self.text()[after:]

    def wait_for_prompt(self, after: int = 0, timeout_s: float = 20) -> str:
        text = self.wait_for(rf"(^|\n){PROMPT}\Z", after, timeout_s)
        deadline = time.monotonic() + timeout_s
        # Until the editor has taken the keyboard, the terminal itself would echo, and make a signal of Ctrl-C.
        while termios.tcgetattr(self._terminal)[3] & termios.ICANON:
            assert time.monotonic() < deadline, "the prompt takes no keys"
            time.sleep(0.001)
        return text

    def ask(self, line: str, timeout_s: float = 20) -> str:
        """Types a line, and returns what is written until the next prompt."""
        start = len(self.text())
        self.send(line + "\r")
        answer = self.wait_for_prompt(start, timeout_s)
        assert answer.startswith(line + "\n"), answer
        return answer[len(line) + 1 : -len(PROMPT)]

    def leave(self, keys: str = "\x04") -> int:
        """Sends Ctrl-D, or what else ends the program, and returns its exit code."""
        self.send(keys)
        deadline = time.monotonic() + 10
        while self._read():
            assert time.monotonic() < deadline, "the program does not end"
        self.exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.exit_code

    def _read(self) -> bool:
        """Takes what is there, waiting a little; false when the program closed its terminal."""
        if not select.select([self._terminal], [], [], 0.1)[0]:
            return True
        try:
            piece = os.read(self._terminal, 65536)
        except OSError:  # how Linux says that the other side was closed
            piece = b""
        self.output += piece
        return piece != b""
