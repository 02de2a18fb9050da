"""The house: who may import whom, what runs under -S and on old Pythons, how long a module may be."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import PROJECT

PACKAGE = PROJECT / "running_jobs"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "builtin_workers")
COMMAND_LINE = ("cli.py", "cli_look.py", "cli_output.py", "cli_submit.py", "cli_workers.py")

# From the ground up: each layer may import those before it, and within itself.
LAYERS = [
    {"errors", "paths", "cores"},
    {
        "files",
        "folders",
        "settings",
        "setting_checks",
        "job",
        "wording",
        "progress_rows",
        "progress_found",
        "progress_formats",
        "progress_counters",
        "progress_programs",
        "progress_choice",
        "progress_pattern",
        "progress",
        "checks",
        "option_texts",
        "slurm_options",
        "slurm_words",
        "approval",
        "classes",
        "parameters",
        "approved_commands",
        "worker",
        "worker_code",
        "matching",
        "workers",
    },
    {"journal", "records", "processes", "logs", "child", "placements"},
    {"clocks", "reserve", "family", "engine", "growth", "postponed", "watching", "sampling", "samples"},
    {"spec", "http_spec", "scheduling", "ending", "job_files", "data_directory", "gpu"},
    {"awaited", "summaries"},
    {"creation"},
    {"store"},
    {
        "index",
        "tallies",
        "wake",
        "saved",
        "housekeeping",
        "dependencies",
        "retention",
        "python_process",
        "brake",
        "own_record",
    },
    {"pokes"},
    {"holdups"},
    {"command_line", "queued", "errands", "looking", "sampler"},
    {"admission"},
    {"attempt"},
    {"runner", "rehearsal"},
    {"recovery", "executors", "actions", "worker_actions"},
    {"commands"},
    {"dispatcher", "cli_output"},
    {"cli_look"},
    {"daemon"},
    {"web"},
    {"background", "cli_submit"},
    {"cli_workers"},
    {"cli", "__main__", "__init__"},
]


def imports_of(path: Path) -> set[str]:
    """Return the dotted names that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def part_of(dotted: str) -> str | None:
    """Return the part of the package that a dotted name belongs to."""
    words = dotted.split(".")
    return words[1] if words[0] == "running_jobs" and len(words) > 1 else None


def layer_of(part: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if part in layer)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downward(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for dotted in imports_of(path):
        part = part_of(dotted)
        if part is not None and part != own:
            assert layer_of(part) <= layer_of(own), f"{own} imports {dotted}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_web_knows_flask(path: Path) -> None:
    known = {dotted.split(".")[0] for dotted in imports_of(path)}
    allowed = known & {"flask", "werkzeug", "waitress", "jinja2", "psutil", "click"}
    parts = path.relative_to(PACKAGE).parts
    if parts[0] == "web":
        return
    if parts[0] in COMMAND_LINE:
        allowed -= {"click", "werkzeug"}  # werkzeug hashes passwords, imported where one is asked for
    assert allowed == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_stay_small_and_say_what_they_own(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 320
    assert ast.get_docstring(ast.parse(text))


def test_the_dispatcher_starts_with_the_standard_library_alone() -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import running_jobs.dispatcher; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program, str(PROJECT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    dear = {"asyncio", "logging", "subprocess", "threading", "socket", "tomllib", "http", "urllib.request", "psutil"}
    assert dear & set(done.stdout.split()) == set()


def test_the_engine_runs_on_python_3_9() -> None:
    engine = [str(path) for path in MODULES if path.relative_to(PACKAGE).parts[0] not in ("web", *COMMAND_LINE)]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "vermin",
            "-t=3.9-",
            "--eval-annotations",
            "--no-tips",
            "--violations",
            "--exclude=tomllib",
            "--backport=tomllib",
            *engine,
        ],
        capture_output=True,
        text=True,
    )
    complaints = [
        line
        for line in done.stdout.splitlines()
        if "require" in line and "tomllib" not in line and "annotation" not in line
    ]
    assert complaints == []


def test_importing_the_application_starts_nothing(data: Path) -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import app, threading; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-c", program, str(PROJECT)], capture_output=True, text=True)
    assert done.stdout == "1\n"
    assert os.listdir(data) == ["config.toml"]


def test_create_app_serves_without_arguments(data: Path) -> None:
    import app

    client = app.create_app().test_client()
    assert client.get("/health").status_code == 200
    assert client.get("/jobs/status").json["data"]["max_threads"] == 4
