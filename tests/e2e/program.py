"""The built program, as the end-to-end tests run it."""

import json
import os
import pathlib
import re
import signal
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin/sluice"))
MODEL = ROOT / "tests/models/tiny-moe"


def link_model(directory: pathlib.Path) -> pathlib.Path:
    """A copy of the tiny model whose files are links, so that a test replaces what it means to change."""
    directory.mkdir()
    for name in ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (directory / name).symlink_to(MODEL / name)
    return directory


class Sluice:
    """The program with a given store; what it ran is asserted on by the tests."""

    def __init__(self, home: pathlib.Path):
        self.home = home
        self.environment = {"SLUICE_HOME": str(home), "HOME": str(home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}

    def run(self, *arguments, timeout=60, **environment) -> subprocess.CompletedProcess:
        return subprocess.run(
            [BINARY, *arguments],
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def json(self, *arguments, **environment) -> dict:
        result = self.run(*arguments, "--json", **environment)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def least_budget(self, *arguments) -> int:
        """The smallest --ram of a command, as the refusal names it; a process differs a little from run to run."""
        refused = self.run(*arguments, "--ram", "1MB")
        assert refused.returncode == 4, refused.stderr
        found = re.search(r"at least (\d+) bytes are needed", refused.stderr)
        assert found, refused.stderr
        return int(found[1])

    def names(self) -> list[str]:
        """Of the complete models."""
        return self.run("list", "--names").stdout.split()

    def start(self, *arguments) -> subprocess.Popen:
        """Begins a command that is then interrupted. A parent that ignores SIGINT, as a script in the background, hands that on."""
        return subprocess.Popen(
            [BINARY, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        )


def assert_bad_usage(result: subprocess.CompletedProcess, *texts: str) -> None:
    assert result.returncode == 2, result.stderr
    assert result.stdout == "" and result.stderr.startswith("sluice: error: ") and result.stderr.count("\n") == 1
    for text in texts:
        assert text in result.stderr
