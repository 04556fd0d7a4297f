"""What packaging/ says of the server is what the server has."""

import json
import re
import shlex
import shutil
import subprocess

import pytest
from server import BINARY, ROOT

PACKAGING = ROOT / "packaging"
SUFFIX = re.compile(r"_(bucket|sum|count)$")


def exported(server) -> tuple[set[str], set[str], set[str]]:
    """(families that have a sample, those that have HELP, the names of labels)."""
    text = server.request("GET", "/metrics")[2].decode()
    helped = set(re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE))
    samples = set(re.findall(r"^(\w+)(?:\{.*\})? \S+$", text, re.MULTILINE))
    labels = set(re.findall(r'[{,](\w+)="', text))
    return {name if name in helped else SUFFIX.sub("", name) for name in samples}, helped, labels


def test_the_dashboard_names_metrics_that_are_exported(server):
    server.post("/v1/completions", {"prompt": "Once", "max_tokens": 3, "ignore_eos": True})
    families, helped, labels = exported(server)
    assert families == helped  # each has its help
    queries = [target["expr"] for panel in json.loads((PACKAGING / "grafana.json").read_text())["panels"] for target in panel["targets"]]
    named = {SUFFIX.sub("", name) for query in queries for name in re.findall(r"\b(?:sluice|process)_\w+", query)}
    assert named and named <= families
    grouped = {label.strip() for query in queries for list_ in re.findall(r"by \(([^)]*)\)", query) for label in list_.split(",")}
    assert grouped <= labels | {"instance"}


@pytest.mark.parametrize("name", ["sluice.service", "network.conf", "sluice.env", "entrypoint.sh"])
def test_options_that_are_given_exist(name):
    known = subprocess.run([BINARY, "serve", "--help"], capture_output=True, text=True, check=True).stdout
    lines = (PACKAGING / name).read_text().splitlines()
    commands = [line for line in lines if re.match(r"ExecStart=.|SLUICE_ARGS=|exec ", line)]
    for option in [word for line in commands for word in shlex.split(line.replace("=", " ", 1)) if word.startswith("--")]:
        assert re.search(rf"{option}\b", known), f"{name} gives {option}"


def test_systemd_understands_the_unit(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze: the unit is not checked")
    unit = tmp_path / "sluice.service"
    unit.write_text((PACKAGING / "sluice.service").read_text().replace("/opt/sluice/build/release/bin/sluice", str(BINARY)))
    (tmp_path / "sluice.service.d").mkdir()
    (tmp_path / "sluice.service.d" / "network.conf").write_text((PACKAGING / "network.conf").read_text().replace("/opt/sluice/build/release/bin/sluice", str(BINARY)))
    told = subprocess.run([analyze, "verify", unit], capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")
