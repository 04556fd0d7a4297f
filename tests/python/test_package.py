"""The package as such: what importing costs and touches, types, what is in it."""

import os
import re
import subprocess
import sys
import tomllib

import pytest
import sluice
from conftest import CHAT_MODEL, ROOT, TINY_MOE

IMPORT_MS = 50


def run(code: str, *args: object) -> str:
    done = subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_takes_no_time_and_loads_nothing():
    code = (
        "import sys, time; before = time.process_time(); import sluice; took = time.process_time() - before\n"
        "print(took * 1e3, [m for m in ('mlx', 'mlx.core', 'numpy', 'sluice._native', 'asyncio') if m in sys.modules])"
    )
    told = [run(code).split(" ", 1) for _ in range(5)]
    assert {loaded.strip() for _, loaded in told} == {"[]"}
    assert min(float(ms) for ms, _ in told) < IMPORT_MS


def test_somebodys_own_mlx_goes_on_as_it_was():
    code = """
import sys
import mlx.core as mx
before = (mx.default_device(), mx.default_stream(mx.default_device()))
mx.random.seed(3)
wanted = mx.random.normal((64, 64)) @ mx.ones((64, 1))
mx.eval(wanted)
mx.set_cache_limit(123456789)
import sluice
with sluice.load(sys.argv[1]) as model:
    model.generate("Hi", max_tokens=4)
    assert mx.set_cache_limit(123456789) == 123456789
    mx.random.seed(3)
    assert mx.array_equal(mx.random.normal((64, 64)) @ mx.ones((64, 1)), wanted)
    assert (mx.default_device(), mx.default_stream(mx.default_device())) == before
"""
    run(code, CHAT_MODEL)


def test_the_interpreter_ends_with_answers_on_their_way():
    code = """
import sys, sluice
model = sluice.load(sys.argv[1])
stream = model.stream("Hi", max_tokens=2000, ignore_eos=True, logits_processors=[lambda tokens, logits: None])
session = model.session()
next(stream)
other = session.stream("Ho", max_tokens=2000, ignore_eos=True)
"""
    run(code, CHAT_MODEL)


def test_ctrl_c_ends_an_answer():
    code = """
import os, signal, sys, threading, time, sluice
model = sluice.load(sys.argv[1])
threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    model.generate("Hi", max_tokens=100000, ignore_eos=True)
except KeyboardInterrupt:
    print(len(model.generate("Hi", max_tokens=3, ignore_eos=True).tokens))
"""
    assert run(code, CHAT_MODEL) == "3\n"


def test_the_interpreter_is_free_while_the_engine_computes():
    code = """
import sys, threading, time, sluice
model = sluice.load(sys.argv[1], threads=1)
counted, stop = 0, threading.Event()
def count():
    global counted
    while not stop.is_set():
        counted += 1
        time.sleep(0.001)
thread = threading.Thread(target=count)
thread.start()
begin = time.monotonic()
model.logits(model.tokenizer.encode("word " * 400))
seconds = time.monotonic() - begin
stop.set()
thread.join()
print(seconds, counted)
"""
    seconds, counted = map(float, run(code, CHAT_MODEL).split())
    assert counted > 20 * seconds


def test_creating_and_deleting_leaks_nothing():
    """Engines and sessions, whichever is deleted first, and streams that are dropped half read; SLUICE_CYCLES says how many."""
    code = """
import gc, sys, sluice
from pathlib import Path
def held():
    gc.collect()
    process = Path("/proc/self")
    if not process.exists():
        return 0, 0, 0
    resident = int((process / "statm").read_text().split()[1]) * 4096
    return resident, len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))
tiny, n = sys.argv[1], int(sys.argv[2])
def cycle(i):
    model = sluice.load(tiny, threads=1)
    session = model.session()
    stream = session.stream([1, 2, 3], max_tokens=4, ignore_eos=True, logits=True, sampler=lambda logits: 5)
    next(stream)
    if i % 3 == 0:
        del model, session
    elif i % 3 == 1:
        del stream, session
    else:
        model.close()
for i in range(150): cycle(i)
before = held()
for i in range(n): cycle(i)
after = held()
print(after[0] - before[0], after[1] - before[1], after[2] - before[2])
"""
    grown, threads, files = map(int, run(code, TINY_MOE, os.environ.get("SLUICE_CYCLES", "150")).split())
    assert grown < 20 << 20 and threads <= 0 and files <= 0


def test_pyproject_wants_the_mlx_that_requirements_name():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pins = set(re.findall(r"==\s*([0-9.]+);", (ROOT / "requirements.txt").read_text()))
    for wanted in (project["project"]["dependencies"], project["build-system"]["requires"]):
        assert {v for line in wanted for v in re.findall(r"^mlx\S*==([0-9.]+);", line)} == pins
    nanobind = re.search(r"nanobind==\S+", (ROOT / "requirements-test.txt").read_text())
    assert nanobind and nanobind[0] in project["build-system"]["requires"]
    assert project["project"]["version"] == sluice.__version__


def test_the_command_is_in_the_package():
    assert "run" in subprocess.run([sys.executable, "-m", "sluice", "--help"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("what", ["python/sluice", "tests/python/examples"])
def test_types_are_strict(what, tmp_path):
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path, ROOT / what]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={"MYPYPATH": "python", "PATH": ""})
    assert done.returncode == 0, done.stdout


def test_the_stub_says_what_the_extension_has():
    import ast

    import sluice._native as native

    stub = ast.parse((ROOT / "python/sluice/_native.pyi").read_text())
    for node in stub.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            assert hasattr(native, node.name)
        if isinstance(node, ast.ClassDef):
            named = {item.name for item in node.body if isinstance(item, ast.FunctionDef)} | {
                item.target.id for item in node.body if isinstance(item, ast.AnnAssign)
            }
            has = {name for name in vars(getattr(native, node.name)) if not name.startswith("__")} | {"__init__"}
            assert named | {"__init__"} == has, node.name


def test_a_tiny_model_without_a_tokenizer_still_computes():
    with sluice.load(str(TINY_MOE)) as engine:
        assert engine.logits([1, 2, 3], 1).shape == (2, engine.vocab_size)
