"""How workers end: each with the right status and a reason; and under other interpreters than the server's."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from running_jobs import logs
from running_jobs.actions import Actions
from running_jobs.job import Job
from running_jobs.settings import load_settings
from running_jobs.store import JobStore

from .conftest import PROJECT, processes_of, wait_for, wait_for_end

WORKER = "import ctypes, multiprocessing, os, signal, subprocess, sys, threading, time\n" + (
    "from concurrent.futures import ThreadPoolExecutor\nfrom pathlib import Path\n"
    "from running_jobs import Worker\n\n\nclass W(Worker):\n"
)


@pytest.fixture
def lay(data: Path) -> Callable[[str], None]:
    """Give a function that lays the code of a worker W there by hand; `body` is what its class holds."""

    def write(body: str, head: str = WORKER) -> None:
        (data / "workers").mkdir(exist_ok=True)
        lines = [f"    {line}" if line.strip() else "" for line in body.splitlines()]
        (data / "workers" / "W.py").write_text(head + "\n".join(lines) + "\n")

    return write


@pytest.fixture
def start(data: Path) -> Callable[..., Job]:
    """Give a function that queues W, with the settings as they are then."""

    def queue(name: str = "W", **parameters: object) -> Job:
        actions = Actions(load_settings(str(data)))
        return actions.submit({"command": {"type": "worker", "name": name, "parameters": parameters}, "start": True})

    return queue


def out_of(store: JobStore, job: Job) -> str:
    return Path(store.paths.out(job.id)).read_text(errors="surrogateescape")


def err_of(store: JobStore, job: Job) -> str:
    return Path(store.paths.err(job.id)).read_text()


ENDS = {
    "returns": ("def run(self):\n    return 5", "done", 0, "exit code 0", ""),
    "raises": ("def run(self):\n    raise ValueError('no way')", "error", 1, "exit code 1", "ValueError: no way"),
    "raises in a base": ("def run(self):\n    raise KeyboardInterrupt", "error", None, "SIGINT", "KeyboardInterrupt"),
    "has no run": ("pass", "error", 1, "exit code 1", "NotImplementedError: W has no run()"),
    "leaves with a code": ("def run(self):\n    sys.exit(3)", "error", 3, "exit code 3", ""),
    "leaves with a text": ("def run(self):\n    sys.exit('a text')", "error", 1, "exit code 1", "a text"),
    "leaves well": ("def run(self):\n    sys.exit()", "done", 0, "exit code 0", ""),
    "leaves at once": ("def run(self):\n    os._exit(4)", "error", 4, "exit code 4", ""),
    "crashes": ("def run(self):\n    ctypes.string_at(0)", "error", None, "killed by SIGSEGV", "Segmentation fault"),
    "kills itself": ("def run(self):\n    os.kill(os.getpid(), 9)", "error", None, "SIGKILL (out of memory?)", ""),
    "needs arguments": ("def __init__(self, needed):\n    pass", "error", 1, "exit code 1", "needed"),
    "leaves early": ("def __init__(self):\n    sys.exit(0)", "error", 1, "exit code 1", "before its run() was called"),
    "recurses": ("def run(self):\n    self.run()", "error", 1, "exit code 1", "RecursionError"),
    "has an output of its own": (
        "def run(self):\n    sys.stdout = object()\n    self.log('x')\n    sys.stdout = None\n    self.log('y')",
        "done",
        0,
        "exit code 0",
        "",
    ),
    "is a coroutine": (
        "async def run(self):\n    pass",
        "error",
        1,
        "exit code 1",
        "a coroutine, of which nothing ran",
    ),
    "is a generator": ("def run(self):\n    yield 5", "error", 1, "exit code 1", "a generator, of which nothing ran"),
    "has a pool open": (
        "def run(self):\n    W.pool = ThreadPoolExecutor(2)\n    self.log(W.pool.submit(pow, 2, 3).result())",
        "done",
        0,
        "exit code 0",
        "",
    ),
    "says nonsense of its progress": (
        "def run(self):\n    self.progress(float('nan'))\n    self.progress(7, 'x')",
        "done",
        0,
        "exit code 0",
        "",
    ),
    "closes its output": ("def run(self):\n    sys.stdout.close()\n    self.log('x')", "done", 0, "exit code 0", ""),
}


@pytest.mark.parametrize("case", ENDS.values(), ids=ENDS)
def test_each_end_has_its_status_and_reason(lay, start, store: JobStore, case) -> None:
    body, status, code, reason, said = case
    lay(body)
    job = wait_for_end(store, start().id)
    assert (job.status, job.exit_code) == (status, code), err_of(store, job)
    assert reason in job.reason
    assert said in err_of(store, job) and bool(said) == bool(err_of(store, job))
    lines = out_of(store, job).splitlines()
    assert lines[0] == "STARTED"
    if "_exit" not in body and job.signal is None:
        assert lines[-1] == "ENDED"
    if job.exit_code == 1 and "sys.exit" not in body:
        assert said in out_of(store, job)  # the traceback stands in the log, too


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("class W(Worker:\n", "SyntaxError"),
        ("class W:\n    pass\n", "has no class W derived from Worker"),
        ("x = 1\n", "has no class W derived from Worker"),
        ("import nothing_of_this_name\n", "ModuleNotFoundError"),
        ("raise ValueError('here')\n", "ValueError: here"),
        ("", "has no class W derived from Worker"),
        ("import sys\nsys.exit(0)\n", "W left by sys.exit before its run() was called"),
    ],
    ids=range(7),
)
def test_code_laid_there_that_is_no_worker_ends_with_an_error(
    lay, start, app_py, store: JobStore, head: str, said: str
) -> None:
    lay("", head)
    assert app_py("workers").out.splitlines()[1].startswith(f"{'W':<20} problem: ")
    job = wait_for_end(store, start().id)
    assert (job.status, job.reason) == ("error", "exit code 1")
    assert said in err_of(store, job)


def test_a_traceback_names_the_lines_of_the_code_that_ran(lay, start, store: JobStore) -> None:
    lay("def run(self):\n    raise ValueError('here')")
    job = wait_for_end(store, start().id)
    assert f"{job.id}.worker.py\", line 9, in run\n    raise ValueError('here')" in err_of(store, job)


def test_what_cannot_be_written_as_text_is_logged_all_the_same(lay, start, store: JobStore) -> None:
    lay(
        "def run(self):\n    self.log('half \\ud800')\n    self.response('\\udfff')\n    self.progress(0.5, 'a\\nb')\n    print('\\ud800')"
    )
    job = wait_for_end(store, start().id)
    assert (job.status, job.reason) == ("error", "exit code 1")
    assert out_of(store, job).startswith("STARTED\nhalf \\ud800\nprogress 50.0% a b\n")
    assert "UnicodeEncodeError" in err_of(store, job)
    assert Path(store.paths.response(job.id)).read_text() == "\\udfff\n"


def test_a_hundred_megabytes_of_log_cost_nobody_memory(lay, start, store: JobStore) -> None:
    lay(
        "def run(self):\n    for i in range(1000):\n        self.log('x' * 100_000)\n    self.log('through')\n"
        "    while self.is_active():\n        time.sleep(0.01)"
    )
    job = start()
    wait_for(lambda: os.path.getsize(store.paths.out(job.id)) > 100_000_000, timeout_s=60)
    wait_for(lambda: logs.last_part(store.paths.out(job.id), 1)[0] == b"through\n")
    active = store.get(job.id)
    host = psutil.Process(active.session)
    assert "worker" in host.cmdline()
    assert max(process.memory_info().rss for process in (host, psutil.Process(active.pid))) < 50 << 20
    Actions(load_settings(store.paths.data)).stop(job.id)
    job = wait_for_end(store, job.id)
    assert (job.status, os.path.getsize(store.paths.out(job.id))) == ("done", 8 + 100_001_000 + 8 + 6)


def test_a_fork_that_ends_as_an_interpreter_does_says_nothing_of_an_end(lay, start, store: JobStore) -> None:
    lay(
        "def run(self):\n    child = os.fork()\n    if child == 0:\n        sys.exit(0)\n"
        "    os.waitpid(child, 0)\n    self.log('parent')"
    )
    job = wait_for_end(store, start().id)
    assert (job.status, out_of(store, job)) == ("done", "STARTED\nparent\nENDED\n")


def test_defaults_are_those_that_are_shown(lay, start, store: JobStore) -> None:
    lay(
        "def run(self):\n    self.log(self.parameters)\n\ndef get_information(self):\n    return {'parameters': ["
        "{'name': 'a', 'type': int, 'default': 5}, {'name': 'b', 'choices': range(3), 'default': 1}]}"
    )
    job = wait_for_end(store, start().id)
    assert "{'a': 5, 'b': 1}" in out_of(store, job)


def test_lines_of_many_threads_do_not_mix(lay, start, store: JobStore) -> None:
    lay(
        "def say(self, n):\n    for i in range(50):\n        self.log(f'{n}' * 500)\n        self.response([n] * 200)\n\n"
        "def run(self):\n    threads = [threading.Thread(target=self.say, args=(n,)) for n in range(8)]\n"
        "    for thread in threads: thread.start()\n    for thread in threads: thread.join()"
    )
    job = wait_for_end(store, start().id)
    assert job.status == "done"
    assert set(out_of(store, job).splitlines()[1:-1]) == {str(n) * 500 for n in range(8)}
    answers = Path(store.paths.response(job.id)).read_text().splitlines()
    assert len(answers) == 400
    assert all(len(set(json.loads(line))) == 1 for line in answers)


def test_what_threads_say_comes_before_the_end(lay, start, store: JobStore) -> None:
    lay(
        "def late(self):\n    time.sleep(0.1)\n    self.log('late')\n    threading.Thread(target=self.log, args=('later',)).start()\n\n"
        "def run(self):\n    threading.Thread(target=self.late).start()\n"
        "    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()"
    )
    job = wait_for_end(store, start().id)
    assert out_of(store, job) == "STARTED\nlate\nlater\nENDED\n"


# --- processes


def test_daemons_that_are_left_are_named(lay, start, store: JobStore) -> None:
    lay(
        "def run(self):\n    for _ in range(2):\n"
        "        subprocess.Popen(['setsid', 'sleep', '1000'])\n    self.log('left')"
    )
    job = wait_for_end(store, start().id)
    assert job.status == "done"
    assert job.reason.startswith("exit code 0; left running in the background: ")
    assert len(re.findall(r"(?:sleep|setsid) \(pid", job.reason)) == 2  # one becomes the other
    wait_for(lambda: [process.name() for process in processes_of(store.paths.data)] == ["sleep"] * 2)


def test_a_stop_reaches_daemons_too(lay, start, store: JobStore, actions: Actions) -> None:
    lay(
        "def run(self):\n    subprocess.Popen(['setsid', 'sleep', '1000'])\n    self.log('left')\n"
        "    while self.is_active():\n        time.sleep(0.01)"
    )
    job = start()
    wait_for(lambda: "left" in out_of(store, job) and len(processes_of(store.paths.data)) == 2)
    actions.stop(job.id, "bob")
    job = wait_for_end(store, job.id)
    assert (job.status, job.reason) == ("done", "exit code 0 after it was asked to stop by bob")
    assert processes_of(store.paths.data) == []


POOL = """def run(self):
    pool = multiprocessing.get_context({method!r}).Pool(2)
    try:
        self.log(pool.map(square, [1, 2, 3]))
        busy = Path(os.environ["JOB_FILES"], "busy")
        pool.apply_async(hold, [busy])
        while not busy.exists():
            time.sleep(0.01)
    finally:
        pool.terminate()
        pool.join()
    self.log(self.is_active())
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_of_processes_works_and_is_terminated(lay, start, store: JobStore, data: Path, method: str) -> None:
    head = WORKER.replace(
        "\n\nclass",
        "\n\ndef square(x):\n    return x * x\n\n\ndef hold(path):\n    path.touch()\n    time.sleep(1000)\n\n\nclass",
    )
    lay(POOL.format(method=method), head)
    job = start()
    (data / "workers" / "W.py").write_text(head.replace("x * x", "'the code of now'") + "    pass\n")
    job = wait_for_end(store, job.id)
    assert job.status == "done", err_of(store, job)
    assert out_of(store, job) == "STARTED\n[1, 4, 9]\nTrue\nENDED\n"
    wait_for(lambda: processes_of(data) == [])  # the server of forkserver ends once it finds that we are gone


def test_a_forked_child_can_be_terminated_from_its_first_moment_on(lay, start, store: JobStore) -> None:
    lay(
        "def run(self):\n    for _ in range(300):\n        child = os.fork()\n        if child == 0:\n"
        "            signal.alarm(10)\n            signal.pause()\n        os.kill(child, signal.SIGTERM)\n"
        "        assert os.waitpid(child, 0)[1] == signal.SIGTERM"
    )
    job = wait_for_end(store, start().id)
    assert job.status == "done", err_of(store, job)


def test_a_forked_child_keeps_a_handler_of_its_own(lay, start, store: JobStore) -> None:
    lay(
        "def run(self):\n    signal.signal(signal.SIGTERM, lambda *_: os._exit(7))\n    child = os.fork()\n"
        "    if child == 0:\n        Path(os.environ['JOB_FILES'], 'ready').touch()\n        time.sleep(1000)\n"
        "    while not Path(os.environ['JOB_FILES'], 'ready').exists(): time.sleep(0.01)\n    os.kill(child, signal.SIGTERM)\n"
        "    self.log(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    job = wait_for_end(store, start().id)
    assert out_of(store, job) == "STARTED\n7\nENDED\n"


# --- stopping


def test_a_run_that_returns_once_it_is_stopped_is_done(lay, start, store: JobStore, actions: Actions) -> None:
    lay(
        "def run(self):\n    self.log('ready')\n    while self.is_active():\n        time.sleep(0.01)\n    self.log('tidied')"
    )
    job = start()
    wait_for(lambda: "ready" in out_of(store, job))
    actions.stop(job.id, "bob")
    job = wait_for_end(store, job.id)
    assert (job.status, job.reason) == ("done", "exit code 0 after it was asked to stop by bob")
    assert out_of(store, job) == "STARTED\nready\ntidied\nENDED\n"


def test_a_run_that_ignores_a_stop_is_ended_after_the_grace(lay, start, store: JobStore, actions: Actions) -> None:
    lay("def run(self):\n    self.log('ready')\n    while True:\n        time.sleep(0.01)")
    job = start()
    wait_for(lambda: "ready" in out_of(store, job))
    actions.stop(job.id, "bob")
    job = wait_for_end(store, job.id)
    assert (job.status, job.reason) == ("stop", "stopped by bob (killed by SIGKILL)")


def test_a_run_that_raises_once_it_is_stopped_is_stopped(lay, start, store: JobStore, actions: Actions) -> None:
    lay(
        "def run(self):\n    self.log('ready')\n    while self.is_active():\n        time.sleep(0.01)\n    raise ValueError"
    )
    job = start()
    wait_for(lambda: "ready" in out_of(store, job))
    actions.stop(job.id, "bob")
    job = wait_for_end(store, job.id)
    assert (job.status, job.reason) == ("stop", "stopped by bob (exit code 1)")


def test_one_that_is_stopped_while_it_is_imported_does_not_run(
    data: Path, lay, start, store: JobStore, actions: Actions
) -> None:
    wait = "if 'JOB_ID' in os.environ:\n    print('importing', flush=True)\n    while not Path(sys.argv[0]).exists() and not Worker._stop_asked:\n        time.sleep(0.01)\n"
    lay("def run(self):\n    self.log('ran')", WORKER.replace("\n\nclass", f"{wait}\n\nclass"))
    job = start()
    wait_for(lambda: "importing" in out_of(store, job))
    actions.stop(job.id, "bob")
    job = wait_for_end(store, job.id)
    assert (job.status, job.exit_code) == ("stop", 143)
    assert out_of(store, job) == "STARTED\nimporting\nENDED\n"


def test_a_killed_worker_ends_at_once(lay, start, store: JobStore, actions: Actions) -> None:
    lay("def run(self):\n    self.log('ready')\n    while self.is_active():\n        time.sleep(0.01)")
    job = start()
    wait_for(lambda: "ready" in out_of(store, job))
    actions.kill(job.id, "bob")
    job = wait_for_end(store, job.id)
    assert (job.status, job.reason) == ("stop", "killed by bob (killed by SIGKILL)")


# --- by hand and under other interpreters


@pytest.fixture
def by_hand(data: Path) -> Callable[..., SimpleNamespace]:
    """Give a function that runs `python -m running_jobs.commands.worker`."""

    def run(*args: str) -> SimpleNamespace:
        done = subprocess.run(
            [sys.executable, "-m", "running_jobs.commands.worker", *args],
            cwd=PROJECT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return run


def test_the_foreground_runs_a_worker(by_hand, lay) -> None:
    lay(
        "def run(self):\n    self.log(self.parameters)\n    self.response('answer')\n    sys.exit(self.get_parameter('code'))"
    )
    done = by_hand("W", '{"code": 3}')
    assert (done.code, done.out, done.err) == (3, "STARTED\n{'code': 3}\nanswer\nENDED\n", "")
    assert by_hand("TestWorker", '{"count": 2}').out == (
        "STARTED\nlog 0\nresponse 0\nlog 1\nresponse 1\nENDED\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    "args", [[], ["W", "5"], ["W", "[]x"], ["W", "{}", "x"], ["--help"], ["W", "[1]"], ["W", "[]"], ["W", "0"]], ids=str
)
def test_wrong_usage_prints_usage(by_hand, lay, args: list[str]) -> None:
    lay("pass")
    done = by_hand(*args)
    assert (done.code, done.out, done.err.split(":")[0]) == (2, "", "usage")


MODULES = """def run(self):
    found = []
    for name in ("flask", "psutil", "click", "waitress"):
        try:
            __import__(name)
            found.append(name)
        except ImportError:
            pass
    self.response({"prefix": sys.prefix, "version": list(sys.version_info[:2]), "found": found})
    self.log(self.get_parameter("size"))

def get_information(self):
    return {**super().get_information(), "parameters": {"size": {"type": "integer", "default": 7}}}
"""


def run_under(python: str, data: Path, lay, start, store: JobStore) -> dict[str, object]:
    """Run a worker under an interpreter, see that all went well, and return what it found there."""
    (data / "config.toml").write_text(f"python = {json.dumps(python)}\n")
    lay(MODULES)
    job = wait_for_end(store, start().id)
    assert (job.status, out_of(store, job)) == ("done", "STARTED\n7\nENDED\n"), err_of(store, job)
    settled = start("TestWorker", count=1)
    assert wait_for_end(store, settled.id).status == "done"
    return dict(json.loads(Path(store.paths.response(job.id)).read_text()))


@pytest.fixture(scope="module")
def bare_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a virtual environment in which nothing is installed."""
    folder = tmp_path_factory.mktemp("bare venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def test_a_worker_runs_in_an_environment_without_flask(bare_venv: Path, data: Path, lay, start, store, app_py) -> None:
    found = run_under(f"{bare_venv}/bin/python", data, lay, start, store)
    assert (found["prefix"], found["found"]) == (str(bare_venv), [])
    assert "problem" not in app_py("workers").out
    assert app_py("worker", "W", '{"size": "x"}').code == 1


def test_workers_can_be_imported_without_anything(bare_venv: Path) -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import running_jobs; print(running_jobs.Worker.__name__)"
    for options in ((), ("-S", "-I")):
        done = subprocess.run(
            [f"{bare_venv}/bin/python", *options, "-c", program, str(PROJECT)], capture_output=True, text=True
        )
        assert (done.stdout, done.stderr) == ("Worker\n", "")


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.12", "3.13"])
def test_a_worker_runs_under_other_pythons(version: str, data: Path, lay, start, store: JobStore) -> None:
    name, said = f"python{version}", ""
    with contextlib.suppress(OSError):
        asked = subprocess.run([name, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True)
        said = asked.stdout.strip() if asked.returncode == 0 else ""
    if not said:
        pytest.skip(f"{name} is missing")
    assert shutil.which(said)
    found = run_under(said, data, lay, start, store)
    assert found["version"] == [int(part) for part in version.split(".")]


def test_an_interpreter_that_is_gone_says_so(data: Path, lay, start, store: JobStore, tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    (data / "config.toml").write_text(f"python = {json.dumps(str(link))}\n")
    lay("pass")
    job = Actions(load_settings(str(data))).submit(
        {"command": {"type": "worker", "name": "W"}, "start": True, "delay": 0.5}
    )
    link.unlink()
    job = wait_for_end(store, job.id)
    assert (job.status, job.reason) == ("error", f"could not start: {link}: No such file or directory")


def test_a_worker_of_ones_own_environment_finds_python_path(data: Path, lay, start, store: JobStore) -> None:
    folder = data.parent / "libraries"
    folder.mkdir()
    (folder / "library_of_mine.py").write_text("VALUE = 'found'\n")
    (data / "config.toml").write_text(f"python_path = [{json.dumps(str(folder))}]\n")
    lay("def run(self):\n    import library_of_mine, W\n    self.log((library_of_mine.VALUE, W.W is type(self)))")
    job = wait_for_end(store, start().id)
    assert out_of(store, job) == "STARTED\n('found', True)\nENDED\n"
