"""Methods of approved classes as jobs: from Python, the command line and the API, each in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from running_jobs import approval, python_process
from running_jobs.actions import Actions
from running_jobs.errors import (
    InvalidJob,
    InvalidSettings,
    JobsError,
    NoSuchClass,
    NoSuchMethod,
    NotAllowed,
    NotApproved,
)
from running_jobs.job import Job, from_iso
from running_jobs.settings import load_settings
from running_jobs.store import JobStore

from .conftest import PROJECT, Server, dispatcher_of, end_everything, wait_for, wait_for_end

SOURCE = """
import functools
import os
import sys
from pathlib import Path

print("imported")


class Base:
    def inherited(self):
        return "from the base"


class Report(Base):
    kind = "a report"

    def __init__(self):
        self.made = "an attribute of the instance"

    def make(self, *parts, **named):
        print("making")
        return {"parts": list(parts), "named": named}

    def fails_twice(self, folder):
        if os.environ["JOB_ATTEMPT"] != "3":
            raise RuntimeError("not yet")
        return Path(folder, "done").name

    def nothing(self):
        print("nothing to hand back")

    def strange(self):
        return {"where": Path("/tmp"), "what": {1, 1}}

    def stranger(self):
        return {(1, 2): "no name"}

    def ends(self):
        sys.exit(3)

    def modules(self):
        found = []
        for name in ("flask", "psutil"):
            try:
                __import__(name)
                found.append(name)
            except ImportError:
                pass
        return {"prefix": sys.prefix, "found": found}

    @staticmethod
    def plain():
        return "static"

    @classmethod
    def of_class(cls):
        return cls.__name__

    @functools.lru_cache
    def decorated(self):
        return "decorated"

    @property
    def shown(self):
        return "a property"

    @functools.cached_property
    def kept(self):
        return "a property"

    class Inner:
        def make(self):
            return "inner"

    def _private(self):
        return "private"


class Other:
    def make(self):
        return "other"

    def more(self):
        return "more"


class NeedsMore:
    def __init__(self, needed):
        pass

    def make(self):
        pass


def function():
    pass
"""
CLASS = "app_jobs.Report"
APPROVED = [
    CLASS, "app_jobs.Other.make", "app_jobs.Gone", "app_jobs.function", "missing.Gone", "broken.Report", "os.system",
    "app_jobs.Report.Inner", "app_jobs.NeedsMore", "leaves.Report",
]  # fmt: skip
REFUSED: list[tuple[str, str, type[JobsError]]] = [
    ("app_jobs.Unknown", "make", NotApproved),
    ("app_jobs.Other", "more", NotApproved),
    ("app_jobs.report", "make", NotApproved),
    ("Report", "make", NotApproved),
    ("os", "getcwd", NotApproved),
    ("os", "system", NotApproved),
    ("__class__", "make", NotApproved),
    ("App.Jobs;rm", "make", NotApproved),
    ("../x", "make", NotApproved),
    ("", "make", NotApproved),
    ("app_jobs.Report ", "make", NotApproved),
    ("app_jobs..Report", "make", NotApproved),
    ("app_jobs.Gone", "make", NoSuchClass),
    ("app_jobs.function", "make", NoSuchClass),
    ("missing.Gone", "make", NoSuchClass),
    ("os.system", "make", NoSuchClass),
    (CLASS, "gone", NoSuchMethod),
    (CLASS, "", NoSuchMethod),
    (CLASS, "_private", NoSuchMethod),
    (CLASS, "__init__", NoSuchMethod),
    (CLASS, "__class__", NoSuchMethod),
    (CLASS, "__reduce__", NoSuchMethod),
    (CLASS, "mro", NoSuchMethod),
    (CLASS, "make;rm", NoSuchMethod),
    (CLASS, "make.__call__", NoSuchMethod),
    (CLASS, "../make", NoSuchMethod),
    (CLASS, "kind", NoSuchMethod),
    (CLASS, "made", NoSuchMethod),
    (CLASS, "shown", NoSuchMethod),
    (CLASS, "kept", NoSuchMethod),
    (CLASS, "Inner", NoSuchMethod),
]


def message_of(name: str, method: str, kind: type[JobsError]) -> str:
    """Return what is said of a refused class or method."""
    if kind is NoSuchMethod:
        return f"Method {method} does not exist in {name}."
    return f"Unauthorized class {name}." if kind is NotApproved else f"Class {name} does not exist."


@pytest.fixture
def code(data: Path) -> Path:
    """Give a folder with classes that the settings approve."""
    folder = data.parent / "code"
    folder.mkdir()
    (folder / "app_jobs.py").write_text(SOURCE)
    (folder / "broken.py").write_text("import nothing_of_this_name\n\nclass Report:\n    def make(self): pass\n")
    (folder / "leaves.py").write_text("import sys\n\nsys.exit(0)\n")
    settle(data, folder)
    return folder


def settle(data: Path, folder: Path, approved: list[str] = APPROVED, more: str = "") -> None:
    """Write the settings."""
    lists = f"python_path = {json.dumps([str(folder)])}\nallowed_classes = {json.dumps(approved)}\n"
    (data / "config.toml").write_text(f"slots = 4\ngrace_seconds = 1\n{lists}{more}")


@pytest.fixture
def submit(code: Path, data: Path) -> Callable[..., Job]:
    """Give a function that queues a method."""

    def queue(method: str, params: Any = (), name: str = CLASS, **options: Any) -> Job:
        command = {"type": "method", "class": name, "method": method, "params": params or []}
        return Actions(load_settings(str(data))).submit({"command": command, "start": True, **options})

    return queue


@pytest.fixture
def by_hand(code: Path) -> Callable[..., SimpleNamespace]:
    """Give a function that runs `python -m running_jobs.commands.method`."""

    def run(*args: str, text: str = "", **environ: str) -> SimpleNamespace:
        done = subprocess.run(
            [sys.executable, "-m", "running_jobs.commands.method", *args],
            cwd=PROJECT, input=text, capture_output=True, text=True, timeout=60, env={**os.environ, **environ},
        )  # fmt: skip
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return run


@pytest.fixture
def script(code: Path, tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """Give a function that runs a Python program of somebody's that finds the classes and this package."""

    def run(text: str, **environ: str) -> SimpleNamespace:
        program = tmp_path / "program.py"
        program.write_text(text)
        done = subprocess.run(
            [sys.executable, str(program)],
            capture_output=True, text=True, timeout=60, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{PROJECT}:{code}", **environ},
        )  # fmt: skip
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return run


def err_of(store: JobStore, job: Job) -> str:
    return Path(store.paths.err(job.id)).read_text()


# --- what is approved


def test_an_empty_list_approves_nothing() -> None:
    with pytest.raises(NotApproved):
        approval.refuse_unless_approved(CLASS, "make", [])


def test_an_entry_is_exact_and_may_name_one_method() -> None:
    approval.refuse_unless_approved("m.C", "make", ["m.C"])
    approval.refuse_unless_approved("m.C", "make", ["m.C.make"])
    for name, method in (("m.C", "other"), ("m.CC", "make"), ("m", "C"), ("m.C.make.x", "y"), ("x.m.C", "make")):
        with pytest.raises(NotApproved):
            approval.refuse_unless_approved(name, method, ["m.C.make"])
    for name, method in (("*", "make"), ("m.*", "make"), ("_m.C", "make"), ("m._C", "make"), ("m.C\n", "make")):
        with pytest.raises(NotApproved):
            approval.refuse_unless_approved(name, method, [name])


# --- refused on every face


def test_the_api_refuses_and_stores_nothing(code: Path, server: Server, store: JobStore) -> None:
    for name, method, kind in REFUSED:
        command = {"type": "method", "class": name, "method": method, "params": []}
        for route, body in (("/jobs", {"command": command}), ("/jobs/add", [{"command": command}])):
            answer = server.post(route, body)
            assert answer.code == (403 if kind is NotApproved else 400), (name, method)
            assert answer.json["message"] == message_of(name, method, kind)
    assert store.ids() == []


@pytest.mark.parametrize(
    "command",
    [
        {}, {"class": CLASS}, {"method": "make"}, {"class": 5, "method": "make"}, {"class": CLASS, "method": None},
        {"class": [CLASS], "method": "make"}, {"class": CLASS, "method": "make", "cmd": "true"},
        {"class": CLASS, "method": "make", "overrides": {"allowed_classes": ["os.system"]}},
    ],
)  # fmt: skip
def test_what_is_no_call_of_a_method_is_refused(
    code: Path, actions: Actions, store: JobStore, command: dict[str, Any]
) -> None:
    fresh = Actions(load_settings(store.paths.data))
    with pytest.raises(InvalidJob, match="command"):
        fresh.submit({"command": {"type": "method", **command}})
    assert store.ids() == []


def test_params_that_are_no_json_are_refused(submit: Callable[..., Job], store: JobStore) -> None:
    for params in ({1: 2}, [{1, 2}], [float("nan")], ["\ud800"], ["x" * 1_000_001], (1,)):
        with pytest.raises(InvalidJob, match="params"):
            submit("make", params)
    assert store.ids() == []


def test_a_module_that_cannot_be_imported_says_why(submit: Callable[..., Job], store: JobStore) -> None:
    with pytest.raises(InvalidJob, match="ModuleNotFoundError: No module named 'nothing_of_this_name'"):
        submit("make", name="broken.Report")
    with pytest.raises(InvalidJob, match="SystemExit"):
        submit("make", name="leaves.Report")
    assert store.ids() == []


@pytest.mark.parametrize("refused", REFUSED, ids=str)
def test_the_command_line_refuses_and_stores_nothing(
    code: Path, app_here, store: JobStore, refused: tuple[str, str, type[JobsError]]
) -> None:
    done = app_here("job:run", "--", refused[0], refused[1], "a")
    assert (done.code, done.out, done.err) == (1, "", f"Error: {message_of(*refused)}\n")
    assert store.ids() == []


@pytest.mark.parametrize("refused", REFUSED, ids=str)
def test_the_foreground_refuses(by_hand, refused: tuple[str, str, type[JobsError]]) -> None:
    done = by_hand(refused[0], refused[1])
    assert (done.code, done.err.splitlines()[-1]) == (1, message_of(*refused))
    assert "making" not in done.out


def test_python_refuses_before_anything_is_written(script, data: Path) -> None:
    cases = [(name, method, kind.__name__) for name, method, kind in REFUSED]
    done = script(
        "import sys\nfrom running_jobs import run_background_job\n"
        f"for name, method, kind in {cases!r}:\n"
        "    try:\n        print('queued', run_background_job(name, method))\n"
        "    except Exception as error:\n"
        "        assert type(error).__name__ == kind, (name, method, error)\n"
        "        if kind == 'NotApproved':\n            assert 'app_jobs' not in sys.modules\n"
        "        print(error)\n"
    )
    assert done.code == 0, done.err
    assert done.out.replace("imported\n", "").splitlines() == [message_of(*case) for case in REFUSED]
    assert os.listdir(data) == ["config.toml"]


# --- in the foreground


@pytest.mark.parametrize("args", [(), (CLASS,), ("--help",), ("-", CLASS), ("-x", "y")])
def test_wrong_usage_prints_the_usage(by_hand, args: tuple[str, ...]) -> None:
    done = by_hand(*args)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("usage: python -m running_jobs.commands.method CLASS METHOD [PARAM...]")


@pytest.mark.parametrize(
    ("params", "parts", "named"),
    [
        (["a", 1, None], ["a", 1, None], {}), ({"a": 1}, [], {"a": 1}), ("text", ["text"], {}), (5, [5], {}),
        (False, [False], {}), (None, [], {}), ([], [], {}), ([["a"]], [["a"]], {}),
    ],
)  # fmt: skip
def test_params_are_a_sequence_a_mapping_or_one_scalar(by_hand, params: Any, parts: list[Any], named: Any) -> None:
    done = by_hand("-", text=json.dumps({"class": CLASS, "method": "make", "params": params}))
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out.splitlines()[-1]) == {"parts": parts, "named": named}


@pytest.mark.parametrize(
    ("name", "method", "result"),
    [
        (CLASS, "inherited", "from the base"), (CLASS, "plain", "static"), (CLASS, "of_class", "Report"),
        (CLASS, "decorated", "decorated"), ("app_jobs.Report.Inner", "make", "inner"),
        ("app_jobs.Other", "make", "other"), (CLASS, "strange", {"where": "/tmp", "what": "{1}"}),
        (CLASS, "stranger", "{(1, 2): 'no name'}"),
    ],
)  # fmt: skip
def test_methods_of_all_kinds_hand_back_their_result(by_hand, name: str, method: str, result: Any) -> None:
    done = by_hand(name, method)
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out.splitlines()[-1]) == result


def test_other_ends_of_a_method(by_hand) -> None:
    assert by_hand(CLASS, "nothing").out == "imported\nnothing to hand back\n"
    assert by_hand(CLASS, "ends").code == 3
    raised = by_hand(CLASS, "fails_twice", "/", JOB_ATTEMPT="1")
    assert (raised.code, raised.err.splitlines()[0]) == (1, "Traceback (most recent call last):")
    assert raised.err.splitlines()[-1] == "RuntimeError: not yet"
    assert "TypeError" in by_hand("app_jobs.NeedsMore", "make").err
    assert by_hand("broken.Report", "make").code == 1
    assert json.loads(by_hand(CLASS, "make", "two words", "5").out.splitlines()[-1])["parts"] == ["two words", "5"]


def test_wrong_settings_run_nothing(by_hand, data: Path) -> None:
    (data / "config.toml").write_text(f'allowed_classes = ["{CLASS}"]\ncolour = "red"\n')
    done = by_hand(CLASS, "make")
    assert (done.code, done.out) == (1, "")
    assert "colour" in done.err


# --- jobs


def test_a_job_keeps_its_result_as_its_response(submit: Callable[..., Job], store: JobStore) -> None:
    job = wait_for_end(store, submit("make", {"a": "ü"}).id)
    assert (job.status, job.what) == ("done", f"{CLASS}::make"), err_of(store, job)
    assert job.command == {"type": "method", "class": CLASS, "method": "make", "params": {"a": "ü"}}
    expected = '{"parts": [], "named": {"a": "ü"}}\n'
    assert Path(store.paths.out(job.id)).read_text() == f"imported\nmaking\n{expected}"
    assert Path(store.paths.response(job.id)).read_text() == expected
    assert f" {job.id} {CLASS}::make - done - " in Path(store.paths.journal).read_text()
    silent = wait_for_end(store, submit("nothing").id)
    assert silent.status == "done"
    assert not Path(store.paths.response(silent.id)).exists()
    ended = wait_for_end(store, submit("ends").id)
    assert (ended.status, ended.exit_code) == ("error", 3)


def test_again_and_the_api_run_methods(code: Path, server: Server, store: JobStore) -> None:
    command = {"type": "method", "class": CLASS, "method": "make"}
    added = server.post("/jobs/add", [{"command": command}] * 50)
    assert added.code == 200, added.text
    first = wait_for_end(store, added.json["job_ids"][0])
    copy = Actions(load_settings(store.paths.data)).again(first.id)
    assert wait_for_end(store, copy.id).status == "done"
    for job_id in added.json["job_ids"]:
        assert wait_for_end(store, job_id).status == "done"
    assert server.get(f"/jobs/{copy.id}/response").json["data"] == [{"message": '{"parts": [], "named": {}}'}]


@pytest.mark.parametrize("approved", [[], ["app_jobs.Other"], ["app_jobs.Report.plain"]])
def test_a_class_that_was_taken_out_of_the_settings_is_refused_at_the_start(
    submit: Callable[..., Job], store: JobStore, data: Path, code: Path, approved: list[str]
) -> None:
    job = submit("make", ["a"], delay=0.5)
    dispatcher = wait_for(lambda: dispatcher_of(data))
    settle(data, code, approved)
    ended = wait_for_end(store, job.id)
    assert dispatcher_of(data) in (dispatcher, None)
    assert (ended.status, ended.exit_code) == ("error", 1)
    assert err_of(store, ended) == f"Unauthorized class {CLASS}.\n"
    assert Path(store.paths.out(job.id)).read_text() == ""


def test_what_the_dispatcher_knows_of_classes_does_not_count(
    code: Path, data: Path, store: JobStore, submit: Callable[..., Job], launch: Callable[..., Job]
) -> None:
    settle(data, code, [])
    launch("sleep 1000")
    old = wait_for(lambda: dispatcher_of(data))
    settle(data, code)
    assert wait_for_end(store, submit("make").id).status == "done"
    assert dispatcher_of(data) == old


def test_settings_from_the_environment_hold_at_the_start_too(code: Path, data: Path, app_py, store: JobStore) -> None:
    settle(data, code, [])
    done = app_py("job:run", CLASS, "make", "--wait", JOBS_ALLOWED_CLASSES=f'["{CLASS}"]')
    assert done.code == 0, done.err
    settle(data, code)
    assert app_py("job:run", CLASS, "make", JOBS_ALLOWED_CLASSES="[]").err == f"Error: Unauthorized class {CLASS}.\n"


def test_another_interpreter_needs_nothing_but_the_standard_library(
    submit: Callable[..., Job], store: JobStore, data: Path, code: Path, by_hand, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "theirs")], check=True)
    settle(data, code, more=f'python = "{tmp_path}/theirs/bin/python"\n')
    job = wait_for_end(store, submit("modules").id)
    assert job.status == "done", err_of(store, job)
    expected = {"prefix": str(tmp_path / "theirs"), "found": []}
    assert json.loads(Path(store.paths.response(job.id)).read_text()) == expected
    assert json.loads(by_hand(CLASS, "modules").out.splitlines()[-1]) == expected


def test_an_interpreter_that_went_away_is_named(
    submit: Callable[..., Job], store: JobStore, data: Path, code: Path
) -> None:
    theirs = data.parent / "python"
    theirs.symlink_to(sys.executable)
    settle(data, code, more=f'python = "{theirs}"\n')
    job = submit("make", delay=0.5)
    theirs.unlink()
    assert wait_for_end(store, job.id).status == "error"
    assert str(theirs) in err_of(store, job)
    for wrong in ('python = "python3"', 'python = "/nowhere"', 'python_path = ["relative"]'):
        (data / "config.toml").write_text(wrong + "\n")
        with pytest.raises(InvalidSettings):
            load_settings(str(data))


def test_python_path_comes_first_and_hides_nothing_of_ours(
    submit: Callable[..., Job], store: JobStore, code: Path, data: Path
) -> None:
    for name in ("app", "tests", "http_spec", "errors"):
        (code / f"{name}.py").write_text(
            "class Theirs:\n    def make(self):\n        import http\n        return __file__\n"
        )
    settle(data, code, [f"{name}.Theirs" for name in ("app", "tests", "http_spec", "errors")])
    for name in ("app", "tests", "http_spec", "errors"):
        job = wait_for_end(store, submit("make", name=f"{name}.Theirs").id)
        assert Path(store.paths.response(job.id)).read_text() == f'"{code}/{name}.py"\n'


def test_a_method_may_have_processes_of_its_own_and_queue_other_methods(
    submit: Callable[..., Job], store: JobStore, code: Path, data: Path
) -> None:
    (code / "many.py").write_text(
        "import multiprocessing\nimport os\n\n\ndef double(number):\n    return 2 * number\n\n\n"
        "class Many:\n    def spawned(self):\n"
        "        with multiprocessing.get_context('spawn').Pool(2) as pool:\n"
        "            return pool.map(double, [1, 2, 3])\n\n"
        "    def queues(self):\n        from running_jobs import run_background_job\n"
        "        return run_background_job(Many, 'spawned')\n\n"
        "    def refused(self):\n        from running_jobs import run_background_job\n"
        "        run_background_job(Many, 'nothing')\n"
    )
    settle(data, code, ["many.Many"])
    job = wait_for_end(store, submit("queues", name="many.Many").id)
    assert job.status == "done", err_of(store, job)
    other = wait_for_end(store, json.loads(Path(store.paths.response(job.id)).read_text()))
    assert Path(store.paths.response(other.id)).read_text() == "[2, 4, 6]\n", err_of(store, other)
    failed = wait_for_end(store, submit("refused", name="many.Many").id)
    assert err_of(store, failed).startswith("Traceback")


def test_a_look_up_that_takes_too_long_is_ended(
    submit: Callable[..., Job], store: JobStore, code: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code / "hangs.py").write_text(
        f"import os, time\nopen({str(data.parent / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(1000)\n"
    )
    settle(data, code, ["hangs.Report"])
    monkeypatch.setattr(python_process, "LOOK_UP_S", 1.0)
    with pytest.raises(InvalidJob, match="more than 1 s"):
        submit("make", name="hangs.Report")
    assert not psutil.pid_exists(int((data.parent / "pid").read_text()))
    assert store.ids() == []


# --- from Python


def test_a_job_from_a_script_returns_at_once_waits_fails_twice_and_succeeds(script, store: JobStore) -> None:
    done = script(
        "import time\nfrom app_jobs import Report\nfrom running_jobs import run_background_job\n"
        "called_at = time.time()\n"
        "job_id = run_background_job(Report, 'fails_twice', ['/'], 3, 1.5, retry_delay=0.1, name='twice', env={'A': 'b'})\n"
        "print(job_id, called_at, time.time())\n"
    )
    assert done.code == 0, done.err
    job_id, called_at, returned_at = done.out.split()[-3:]
    job = wait_for_end(store, job_id)
    assert float(returned_at) < from_iso(job.attempts[0]["started_at"])  # it did not wait out the delay
    assert (job.status, job.attempt, job.retries, job.name, job.priority) == ("done", 3, 3, "twice", 500)
    assert from_iso(job.attempts[0]["started_at"]) >= float(called_at) + 1.5 - 0.001  # kept in whole milliseconds
    assert err_of(store, job).count("RuntimeError: not yet") == 2
    assert Path(store.paths.response(job.id)).read_text() == '"done"\n'


def test_every_option_reaches_the_job(script, store: JobStore, data: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.toml").write_text((data / "config.toml").read_text() + "max_retries = 7\n")
    done = script(
        "from running_jobs import run_background_job as run\n"
        f"first = run('{CLASS}', 'make', 'text', delay=1000, data_dir={str(elsewhere)!r})\n"
        f"print(first, run('{CLASS}', 'make', {{'a': 1}}, 2, 0, 900, context='c', timeout=5, data_dir={str(elsewhere)!r},"
        " name='n', env={'A': 'b'}, after=[first], callback_done={'type': 'exec', 'cmd': 'true'},"
        " callback_failed={'type': 'exec', 'cmd': 'false'}, nice=3, cwd='/', retry_delay=0.5))\n"
    )
    assert done.code == 0, done.err
    first, second = (JobStore(str(elsewhere)).get(job_id) for job_id in done.out.split()[-2:])
    assert (first.retries, first.delay, first.command["params"]) == (7, 1000, "text")
    assert (second.retries, second.priority, second.context, second.timeout, second.name) == (2, 900, "c", 5, "n")
    assert (second.env, second.after, second.nice, second.cwd) == ({"A": "b"}, [first.id], 3, "/")
    assert (second.retry_delay, second.callback_failed) == (0.5, {"type": "exec", "cmd": "false"})
    end_everything(elsewhere)
    assert store.ids() == []


def test_what_no_other_process_could_run_is_refused(script, data: Path) -> None:
    done = script(
        "import app_jobs\nfrom running_jobs import run_background_job as run\n"
        "from running_jobs.errors import InvalidJob, NoSuchClass\n"
        "class Mine:\n    def make(self): pass\n"
        "def local():\n    class Hidden:\n        def make(self): pass\n    return Hidden\n"
        "copy = type('Report', (), {'__module__': 'app_jobs', 'make': lambda self: 5})\n"
        "for cls, error in ((Mine, InvalidJob), ('__main__.Mine', InvalidJob), (local(), InvalidJob), (5, InvalidJob),"
        " (None, InvalidJob), (copy, NoSuchClass), ('broken.Report', InvalidJob)):\n"
        "    try:\n        run(cls, 'make')\n    except error as found:\n        print(found)\n"
        "for more in ({'delay': -1}, {'retries': -1}, {'priority': 'x'}, {'params': [object()]}, {'after': ['nope']}):\n"
        "    try:\n        run(app_jobs.Report, 'make', **more)\n    except InvalidJob as found:\n        print(found)\n"
    )
    assert (done.code, len(done.out.splitlines())) == (0, 13), done.err
    assert "__main__.Mine is defined in the program itself" in done.out
    assert os.listdir(data) == ["config.toml"]


def test_importing_the_package_imports_nothing_else() -> None:
    program = "import sys; before = set(sys.modules); import running_jobs; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True)
    assert set(done.stdout.split()) <= {"running_jobs", "__future__"}
    with pytest.raises(ImportError):
        from running_jobs import nothing_of_this_name  # noqa: F401


# --- on the command line


@pytest.mark.parametrize(
    ("args", "params"),
    [
        (("a", "2"), ["a", "2"]), (("--params", '["a", 2]'), ["a", 2]), (("--params", '{"a": 1}'), {"a": 1}),
        (("--params", "no JSON"), "no JSON"), (("--params", "5"), 5), ((), []), (("--", "-a"), ["-a"]),
    ],
)  # fmt: skip
def test_job_run_prints_the_id(code: Path, app_py, store: JobStore, args: tuple[str, ...], params: Any) -> None:
    done = app_py("job:run", "--hold", "--priority", "7", "--retries", "2", "--context", "c", CLASS, "make", *args)
    assert done.code == 0, done.err
    job = store.get(done.out.strip())
    assert (job.command["params"], job.priority, job.retries, job.context) == (params, 7, 2, "c")
    assert (job.status, job.cwd) == ("idle", os.getcwd())


def test_job_run_waits_and_job_cancel_stops(code: Path, app_py, store: JobStore) -> None:
    (code / "slow.py").write_text("import time\n\nclass Slow:\n    def make(self):\n        time.sleep(1000)\n")
    settle(Path(store.paths.data), code, [CLASS, "slow.Slow"])
    waited = app_py("job:run", "--wait", CLASS, "make", "--params", "5")
    assert (waited.code, waited.out.splitlines()[-1]) == (0, '{"parts": [5], "named": {}}')
    job_id = app_py("job:run", "slow.Slow", "make").out.strip()
    wait_for(lambda: store.get(job_id).status == "active")
    assert app_py("job:cancel", job_id).code == 0
    job = wait_for_end(store, job_id)
    assert (job.status, job.signal) == ("stop", 15)
    assert app_py("job:cancel", job_id).code == 1
    assert app_py("job:run", CLASS, "make", "a", "--params", "5").code == 2
    assert app_py("job:run", CLASS).code == 2


ODD = """
import functools

class Odd:
    def deep(self):
        found = []
        for _ in range(100_000):
            found = [found]
        return found

    def silent(self):
        import sys
        sys.stdout.close()
        return "silent"

    def no_number(self):
        return float("nan")

    def call(self, what):
        return what

    partial = functools.partialmethod(call, "partly")
"""


@pytest.mark.parametrize(
    ("method", "result"),
    [("deep", '"<list>"'), ("silent", '"silent"'), ("no_number", '"nan"'), ("partial", '"partly"')],
)
def test_whatever_a_method_returns_it_succeeded(
    code: Path, data: Path, submit: Callable[..., Job], store: JobStore, method: str, result: str
) -> None:
    (code / "odd.py").write_text(ODD)
    settle(data, code, ["odd.Odd"])
    job = wait_for_end(store, submit(method, name="odd.Odd").id)
    assert (job.status, Path(store.paths.response(job.id)).read_text()) == ("done", f"{result}\n")


def test_a_module_that_exits_when_it_is_imported_is_no_success(
    code: Path, data: Path, submit: Callable[..., Job], store: JobStore, script
) -> None:
    settle(data, code, ["leaves.Report"])
    (code / "leaves.py").write_text("class Report:\n    def make(self):\n        pass\n")
    job = submit("make", name="leaves.Report", delay=1000)
    (code / "leaves.py").write_text("raise SystemExit(0)\n")
    Actions(load_settings(str(data))).edit(job.id, {"delay": 0})
    ended = wait_for_end(store, job.id)
    assert (ended.status, ended.exit_code) == ("error", 1)
    done = script("from running_jobs import run_background_job\nrun_background_job('leaves.Report', 'make')\n")
    assert done.code == 1 and "InvalidJob" in done.err and "SystemExit" in done.err


def test_a_look_up_ends_what_an_import_left_running(
    code: Path, data: Path, submit: Callable[..., Job], tmp_path: Path
) -> None:
    pid = tmp_path / "left"
    (code / "forks.py").write_text(
        f"import os, time\nif os.fork() == 0:\n    open({str(pid)!r}, 'w').write(str(os.getpid()))\n    time.sleep(100)\n"
        f"while not (os.path.exists({str(pid)!r}) and os.path.getsize({str(pid)!r})): time.sleep(0.01)\n"
        "class Report:\n    def make(self):\n        pass\n"
    )
    settle(data, code, ["forks.Report"])
    submit("make", name="forks.Report", start=False)
    left = int(pid.read_text())
    wait_for(lambda: not psutil.pid_exists(left) or psutil.Process(left).status() == "zombie")


@pytest.mark.parametrize("option", ["env=5", "after=5", "callback_done='x'", "env=''"])
def test_wrong_options_are_invalid_in_python_too(script, store: JobStore, option: str) -> None:
    done = script(
        f"from running_jobs import run_background_job\nrun_background_job('app_jobs.Report', 'make', {option})\n"
    )
    assert done.code == 1 and "InvalidJob" in done.err
    assert store.ids() == []


def test_again_and_start_look_at_the_settings_of_now(configure: Callable[..., Actions]) -> None:
    plain = configure("slots = 1\n")
    held = plain.submit({"command": {"type": "exec", "cmd": "true"}})
    with_env = plain.submit({"command": {"type": "http", "url": "http://127.0.0.1:9/"}, "env": {"PYTHONPATH": "/evil"}})
    actions = configure('[allowed_commands.greet]\ncommand = ["echo", "hello"]\n')
    for job in (held, with_env):
        for verb in (actions.again, actions.start):
            with pytest.raises(NotAllowed):
                verb(job.id)
        assert actions.store.get(job.id).status == "idle"


def test_a_class_is_imported_once_for_each_change_of_its_file_not_for_each_job(
    code: Path, submit: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    ask = python_process.ask
    monkeypatch.setattr(python_process, "ask", lambda settings, task: asked.append(task) or ask(settings, task))
    submit("make", start=False)  # the data directory is made with it
    asked.clear()
    for _ in range(3):
        submit("make", start=False)
    assert len(asked) == 1
    (code / "app_jobs.py").write_text(SOURCE.replace("def make(", "def made_otherwise("))
    for _ in range(2):
        with pytest.raises(NoSuchMethod):
            submit("make", start=False)
    assert len(asked) == 3  # what is missing may come, and is looked for each time
