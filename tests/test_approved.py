"""Approved commands: templates with checked parameters as jobs, by every face, each in real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from running_jobs.actions import Actions
from running_jobs.approved_commands import read_command
from running_jobs.errors import InvalidJob, InvalidSettings
from running_jobs.job import Job
from running_jobs.settings import load_settings
from running_jobs.store import JobStore

from .conftest import PROJECT, Server, wait_for_end

# writes down what it was called with and finds in its environment
SHOW = """#!{python}
import json, os, signal, sys
print(json.dumps({{
    "argv": sys.argv[1:], "cwd": os.getcwd(), "stdin": sys.stdin.read(),
    "param": {{name: text for name, text in os.environ.items() if name.startswith("PARAM_")}},
    "env": {{name: os.environ.get(name) for name in ("MODE", "JOB_ID", "PATH")}},
}}))
"""
SETTINGS = """
slots = 4
grace_seconds = 1

[allowed_commands.show]
command = ["{show}", "--", "{{text}}", "{{}}", "{{1..3}}", "$HOME `id` ;", "--count={{count}}", "{{count}}{{flag}}", "{{size}}"]
description = "shows what it gets"
cwd = "{folder}"
env = {{MODE = "shown", JOB_ID = "forged", PARAM_count = "of the template"}}

[allowed_commands.show.parameters]
text = {{type = "string", pattern = "(?s).*"}}
count = {{type = "integer", minimum = 0, maximum = 1000}}
flag = "boolean"
size = {{choices = ["small", 1, 2.5, true]}}
PATH = {{}}
signed = {{pattern = "-?[a-z]+"}}
loose = {{pattern = "[a-z-]+"}}

[allowed_commands.line]
command = 'printf "<%s>" "$PARAM_who" "$PARAM_copies" "${{PARAM_note-none}}"; echo {{a,b}} ${{who}}'
parameters = [{{name = "who", required = true}}, {{name = "copies", type = "integer", default = 2}}, {{name = "note"}}]
"""


@pytest.fixture
def show(data: Path) -> Path:
    """Give a program that shows what it gets, in a folder that no shell would take for one word."""
    folder = data.parent / "a folder"
    folder.mkdir()
    program = folder / "show it.py"
    program.write_text(SHOW.format(python=sys.executable))
    program.chmod(0o755)
    (data / "config.toml").write_text(SETTINGS.format(show=program, folder=folder))
    return program


@pytest.fixture
def actions(show: Path, data: Path) -> Actions:
    """Give the verbs where commands are approved."""
    return Actions(load_settings(str(data)))


def ask(name: str, parameters: Any = None, **options: Any) -> dict[str, Any]:
    """Return the options of a job that runs an approved command."""
    return {"command": {"type": "approved", "name": name, "parameters": parameters}, "start": True, **options}


@pytest.fixture
def run(actions: Actions) -> Callable[..., SimpleNamespace]:
    """Give a function that runs an approved command as a job to its end."""

    def to_end(name: str, parameters: Any = None, **options: Any) -> SimpleNamespace:
        job = wait_for_end(actions.store, actions.submit(ask(name, parameters, **options)).id)
        return told_of(actions.store, job)

    return to_end


def told_of(store: JobStore, job: Job) -> SimpleNamespace:
    """Return a job that has ended with what it wrote."""
    out, err = Path(store.paths.out(job.id)).read_text(), Path(store.paths.err(job.id)).read_text()
    return SimpleNamespace(job=job, status=job.status, code=job.exit_code, out=out, err=err)


@pytest.fixture
def by_hand(show: Path) -> Callable[..., SimpleNamespace]:
    """Give a function that runs `python -m running_jobs.commands.approved`."""

    def to_end(*args: str, text: str = "", **environ: str) -> SimpleNamespace:
        done = subprocess.run(
            [sys.executable, "-m", "running_jobs.commands.approved", *args],
            cwd=PROJECT, input=text.encode(), capture_output=True, timeout=60, env={**os.environ, **environ},
        )  # fmt: skip
        return SimpleNamespace(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())

    return to_end


# --- what a command gets

LITERAL = ["{}", "{1..3}", "$HOME `id` ;"]


@pytest.mark.parametrize(
    "text",
    [
        "plain", "", " two  words ", "a'b\"c", "$(touch pwned)", "`touch pwned`", "; touch pwned #", "a | b > c && d",
        "* ? [a-z] ~", "line\nbreak\n", "tab\t\r\x01\x7f", "ünïcödé 日本 🎉 \u2028", "{count}", "{text}{text}", "{{count}}",
        "\\1 \\g<0>", "%s %(x)s", "${PARAM_text}", "x" * 100_000,
    ],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)  # fmt: skip
def test_a_value_is_one_argument_and_one_variable_as_it_is(
    run: Callable[..., SimpleNamespace], show: Path, text: str
) -> None:
    done = run("show", {"text": text, "count": 7})
    assert done.status == "done", done.err
    found = json.loads(done.out)
    assert found["argv"] == ["--", text, *LITERAL, "--count=7"]
    assert found["param"] == {"PARAM_text": text, "PARAM_count": "7"}
    assert os.listdir(show.parent) == ["show it.py"]


def test_directory_environment_and_marks_are_the_settings_own(
    run: Callable[..., SimpleNamespace], show: Path, tmp_path: Path
) -> None:
    done = run("show", {"PATH": "/evil", "count": None})
    found = json.loads(done.out)
    assert found["argv"] == ["--", *LITERAL]
    assert (found["cwd"], found["stdin"]) == (str(show.parent), "")
    assert found["env"] == {"MODE": "shown", "JOB_ID": done.job.id, "PATH": os.environ["PATH"]}
    assert found["param"] == {"PARAM_count": "of the template", "PARAM_PATH": "/evil"}


@pytest.mark.parametrize(
    ("given", "argv"),
    [
        ({"flag": True}, []), ({"flag": True, "count": 0}, ["--count=0", "0true"]), ({"flag": False, "count": 1000}, ["--count=1000", "1000false"]),
        ({"size": "small"}, ["small"]), ({"size": 1}, ["1"]), ({"size": 2.5}, ["2.5"]), ({"size": True}, ["true"]),
        ({"signed": "-abc", "loose": "a-b"}, []),
    ],
)  # fmt: skip
def test_numbers_and_choices_become_texts_and_what_has_no_value_is_left_out(
    actions: Actions, given: dict[str, Any], argv: list[str]
) -> None:
    command = read_command("show", actions.settings.allowed_commands["show"])
    assert command.argv(command.check("p", given), "/bin/sh")[1:] == ["--", *LITERAL, *argv]


@pytest.mark.parametrize(
    ("parameters", "out"),
    [
        ({"who": "a  b"}, "<a  b><2><none>"), ({"who": "$(id) {a,b} `id`", "copies": 5}, "<$(id) {a,b} `id`><5><none>"),
        ({"who": '"; echo', "copies": None, "note": "ü"}, '<"; echo><2><ü>'),
    ],
)  # fmt: skip
def test_a_shell_line_stays_as_it_is_and_finds_values_in_variables(
    run: Callable[..., SimpleNamespace], parameters: dict[str, Any], out: str
) -> None:
    done = run("line", parameters)
    assert (done.status, done.out) == ("done", out + "{a,b}\n")


def test_a_command_dies_of_a_closed_pipe_as_any_other(configure: Callable[..., Actions]) -> None:
    actions = configure("""[allowed_commands.pipe]\ncommand = 'yes | head -1; grep SigIgn: /proc/self/status'\n""")
    done = told_of(actions.store, wait_for_end(actions.store, actions.submit(ask("pipe")).id))
    line, name, ignored = done.out.split()
    assert (line, name, done.err) == ("y", "SigIgn:", "")
    assert int(ignored, 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0


# --- what is refused when it is submitted


@pytest.mark.parametrize(
    ("name", "parameters", "problem"),
    [
        ("other", {}, "command.name: 'other' is no approved command; approved are show, line"), ("", {}, "no approved command"),
        ("Show", {}, "no approved"), ("show ", {}, "no approved"), ("../show", {}, "no approved"), ("show\n", {}, "no approved"),
        ("x" * 999, {}, "no approved"), (5, {}, "command.name: expected a text"), (None, {}, "command.name: expected a text"),
        ("show", {"tex": "a"}, "parameters.tex: is not declared; declared are text, count"), ("show", {"MODE": "a"}, "not declared"),
        ("show", {"PARAM_text": "a"}, "not declared"), ("show", {"": "a"}, "not declared"),
        ("show", [], "expected an object"), ("show", "text", "expected an object"), ("show", {"text": ["a"]}, "expected a text"),
        ("show", {"text": "a\0b"}, "NUL"), ("show", {"text": "\ud800"}, "UTF-8"), ("show", {"text": "x" * 100_001}, "characters"),
        ("show", {"text": "日" * 50_000}, "parameters: expected at most 131071 bytes"), ("show", {"text": 5}, "expected a text"),
        ("show", {"text": "-rf"}, "parameters.text: must not begin with -"), ("show", {"loose": "-x"}, "must not begin with -"),
        ("show", {"signed": "--x"}, "fits -?[a-z]+ as a whole"), ("show", {"loose": "a\n"}, "as a whole"), ("show", {"loose": "a b"}, "as a whole"),
        ("show", {"PATH": "-x"}, "must not begin with -"), ("show", {"PATH": "a\nb"}, "one line of text"), ("show", {"PATH": ""}, "one line of text"),
        ("show", {"count": True}, "expected a whole number, found true or false"), ("show", {"count": 1.0}, "found 1.0"),
        ("show", {"count": "1"}, "expected a whole number"), ("show", {"count": -1}, "at least 0"), ("show", {"count": 1001}, "at most 1000"),
        ("show", {"count": 10**5000}, "parameters"), ("show", {"count": float("nan")}, "parameters"), ("show", {"flag": 1}, "expected true or false"),
        ("show", {"size": "1"}, "expected one of"), ("show", {"size": 1.0}, "expected one of"), ("show", {"size": False}, "expected one of"),
        ("line", {}, "parameters.who: is missing"), ("line", None, "parameters.who: is missing"), ("line", {"who": None}, "found null"),
        ("line", {"who": {"a": 1}}, "expected a text, found an object"),
    ],
    ids=lambda value: ascii(value)[:20] if isinstance(value, str) else None,
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_not_stored(
    actions: Actions, name: Any, parameters: Any, problem: str
) -> None:
    with pytest.raises(InvalidJob, match=re.escape(problem)) as caught:
        actions.submit(ask(name, parameters))
    assert len(str(caught.value)) < 1100
    assert actions.store.ids() == []


def test_where_no_command_is_approved_none_runs(configure: Callable[..., Actions]) -> None:
    actions = configure()
    with pytest.raises(InvalidJob, match="approved are none"):
        actions.submit(ask("show"))
    assert actions.store.ids() == []


# --- what is looked at again


def change(data: Path, before: str, after: str) -> None:
    """Change the settings in one place."""
    config = data / "config.toml"
    text = config.read_text()
    assert text.count(before) == 1
    config.write_text(text.replace(before, after))


@pytest.mark.parametrize(
    ("before", "after", "code", "told"),
    [
        ("[allowed_commands.line]", "[allowed_commands.moved]", 1, "name: 'line' is no approved command; approved are show, moved"),
        ('{name = "who", required = true}', '{name = "who", pattern = "[0-9]+"}', 1, "parameters.who: expected a text that fits [0-9]+"),
        ('{name = "who", required = true}', '{name = "whom"}', 1, "parameters.who: is not declared"),
        ("command = 'printf", "commando = 'printf", 1, "Wrong setting:"),
        ("command = 'printf", "cwd = '/no/such'\ncommand = 'printf", 127, "line: its directory /no/such cannot be entered: No such file or directory"),
        ("command = 'printf", "cwd = '/etc/passwd'\ncommand = 'printf", 127, "line: its directory /etc/passwd cannot be entered: Not a directory"),
        ("command = 'printf", "command = 'exec no-such-program", 127, "no-such-program"),
        ("slots = 4", "slots = 4\n[allowed_commands", 1, "is not TOML"),
    ],
)  # fmt: skip
def test_a_queued_job_runs_by_the_settings_of_its_start(
    actions: Actions, data: Path, before: str, after: str, code: int, told: str
) -> None:
    job = actions.submit(ask("line", {"who": "a"}, delay=1000))
    change(data, before, after)
    actions.edit(job.id, {"delay": 0})
    done = told_of(actions.store, wait_for_end(actions.store, job.id))
    assert (done.status, done.code) == ("error", code), done.err
    assert told in done.err
    assert "Traceback" not in done.err


def test_a_changed_template_is_what_runs(actions: Actions, data: Path) -> None:
    job = actions.submit(ask("line", {"who": "a"}, delay=1000))
    change(data, "command = 'printf", "command = 'echo changed; printf")
    actions.edit(job.id, {"delay": 0})
    done = told_of(actions.store, wait_for_end(actions.store, job.id))
    assert (done.status, done.out.splitlines()[0]) == ("done", "changed")


def test_held_jobs_and_copies_are_checked_by_the_settings_of_now(actions: Actions, data: Path) -> None:
    held = actions.submit({**ask("line", {"who": "a"}), "start": False})
    change(data, '{name = "who", required = true}', '{name = "whom"}')
    now = Actions(load_settings(str(data)))
    for verb in (now.start, now.again):
        with pytest.raises(InvalidJob, match=r"parameters\.who: is not declared"):
            verb(held.id)
    assert actions.store.ids() == [held.id]
    assert actions.store.get(held.id).status == "idle"
    change(data, '{name = "whom"}', '{name = "who"}')
    again = Actions(load_settings(str(data))).again(held.id)
    assert told_of(actions.store, wait_for_end(actions.store, again.id)).out.startswith("<a>")


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("no-such-program", "x: no-such-program could not be started: it or its interpreter does not exist"),
        ("/no/such/program", "x: /no/such/program could not be started: it or its interpreter does not exist"),
        ("/etc/passwd", "x: /etc/passwd could not be started: Permission denied"),
        ("/", "x: / could not be started: Permission denied"),
        ("{empty}", "could not be started: Exec format error"), ("{lost}", "could not be started: it or its interpreter does not exist"),
    ],
)  # fmt: skip
def test_a_program_that_cannot_be_started_is_named(
    configure: Callable[..., Actions], tmp_path: Path, program: str, told: str
) -> None:
    (tmp_path / "empty").touch(0o755)
    (tmp_path / "lost").touch(0o755)
    (tmp_path / "lost").write_text("#!/no/such/interpreter\n")
    program = program.format(empty=tmp_path / "empty", lost=tmp_path / "lost")
    actions = configure(f"[allowed_commands.x]\ncommand = {json.dumps([program])}\n")
    done = told_of(actions.store, wait_for_end(actions.store, actions.submit(ask("x")).id))
    assert (done.status, done.code, done.job.reason) == ("error", 127, "exit code 127")
    assert done.err.endswith(f"{told}\n")


# --- wrong settings


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("allowed_commands = 5", "a table of tables"), ("allowed_commands = {}", "at least one [allowed_commands.NAME]"),
        ("[allowed_commands]", "at least one [allowed_commands.NAME]"), ("[allowed_commands]\nx = 'ls'", "a table of tables"),
        ("[allowed_commands.x]", "[allowed_commands.x] with either command or cmd"),
        ("[allowed_commands.x]\ncommand = 'ls'\ncmd = 'ls'", "either command or cmd"),
        ("[allowed_commands.x]\ncommand = 'ls'\nshell = true", "[allowed_commands.x] without shell; known are command"),
        ("[allowed_commands.'']\ncommand = 'ls'", "a name of 1 to 100"), ("[allowed_commands.-x]\ncommand = 'ls'", "not beginning with -, found '-x'"),
        ('[allowed_commands."a\\nb"]\ncommand = \'ls\'', "on one line"), ("[allowed_commands.' x']\ncommand = 'ls'", "a name of"),
        ("[allowed_commands.x]\ncommand = ''", "command as a list of texts or a shell line"), ("[allowed_commands.x]\ncommand = '  '", "shell line"),
        ("[allowed_commands.x]\ncommand = 5", "shell line"), ("[allowed_commands.x]\ncommand = ['ls', 5]", "a list of texts"),
        ("[allowed_commands.x]\ncommand = []", "to begin with the name of a program"), ("[allowed_commands.x]\ncommand = ['']", "to begin with the name of a program"),
        ('[allowed_commands.x]\ncommand = ["a\\u0000b"]', "a list of texts"), ('[allowed_commands.x]\ncommand = "a\\u0000b"', "shell line"),
        ("[allowed_commands.x]\ncommand = ['ls', '{a}']", "parameters to declare a, which command uses"),
        ("[allowed_commands.x]\ncommand = ['{a}']\nparameters = ['a']", "to begin with the name of a program, not with a parameter"),
        ("[allowed_commands.x]\ncommand = ['./{a}']\nparameters = ['a']", "not with a parameter"),
        ("[allowed_commands.x]\ncommand = 'ls {a}'\nparameters = ['a']", '"$PARAM_a" in a shell line, not {a}'),
        ("[allowed_commands.x]\ncommand = ['sh', '-c', 'ls {a}']\nparameters = ['a']", '"$PARAM_a" in a shell line, not {a}'),
        ("[allowed_commands.x]\ncommand = ['env', '/bin/bash', '-lc', '{a}']\nparameters = ['a']", "in a shell line"),
        ("[allowed_commands.x]\ncommand = ['bash', '-c', '--', 'echo {a}']\nparameters = ['a']", "in a shell line"),
        ("[allowed_commands.x]\ncommand = ['bash', '-c', '-e', 'echo {a}']\nparameters = ['a']", "in a shell line"),
        ("[allowed_commands.x]\ncommand = ['rbash', '-c', 'echo {a}']\nparameters = ['a']", "in a shell line"),
        ("[allowed_commands.x]\ncommand = ['env', '-S', 'bash -c {a}']\nparameters = ['a']", "in a shell line"),
        ("[allowed_commands.x]\ncommand = ['bash', '--rcfile={a}', '-i']\nparameters = ['a']", "in a shell line"),
        ("[allowed_commands.x]\ncommand = ['ssh', 'host', 'echo {a}']\nparameters = ['a']", "in a shell line"),
        ("[allowed_commands.x]\ncommand = ['su', 'eva', '-c', 'echo {a}']\nparameters = ['a']", "in a shell line"),
        ("[allowed_commands.x]\ncommand = ['eval', '{a}']\nparameters = ['a']", "in a shell line"),
        ("[allowed_commands.x]\ncommand = ['python3', '-c', 'print({a})']\nparameters = ['a']", "{a} as an argument behind the code"),
        ("[allowed_commands.x]\ncommand = ['env', 'python3.11', '-Ic', '{a}']\nparameters = ['a']", "behind the code that an interpreter runs"),
        ("[allowed_commands.x]\ncommand = ['/usr/bin/perl', '-ne', '{a}']\nparameters = ['a']", "behind the code"),
        ("[allowed_commands.x]\ncommand = ['node', '--eval={a}']\nparameters = ['a']", "behind the code"),
        ("[allowed_commands.x]\ncommand = ['perl', '-e{a}']\nparameters = ['a']", "behind the code"),
        ("[allowed_commands.x]\ncommand = ['php', '-r', '{a};']\nparameters = ['a']", "behind the code"),
        ("[allowed_commands.x]\ncommand = 'ls'\ncwd = 'relative'", "cwd as an absolute path"), ("[allowed_commands.x]\ncommand = 'ls'\ncwd = 5", "cwd as"),
        ("[allowed_commands.x]\ncommand = 'ls'\nenv = ['A']", "env as a table of texts"), ("[allowed_commands.x]\ncommand = 'ls'\nenv = {A = 1}", "env as"),
        ("[allowed_commands.x]\ncommand = 'ls'\nenv = {'A=B' = 'c'}", "env as"), ("[allowed_commands.x]\ncommand = 'ls'\nenv = {'' = 'c'}", "env as"),
        ("[allowed_commands.x]\ncommand = 'ls'\ndescription = 5", "description as a text"),
        ("[allowed_commands.x]\ncommand = 'ls'\nparameters = 5", "parameters as a schema: expected a list"),
        ("[allowed_commands.x]\ncommand = 'ls'\nparameters = {a = 5}", "a: expected an object"),
        ("[allowed_commands.x]\ncommand = 'ls'\nparameters = {a = 'interger'}", "a: expected one of string, integer, number, boolean"),
        ("[allowed_commands.x]\ncommand = 'ls'\nparameters = {a = {type = 'array'}}", "a: type: expected one of string, integer, number, boolean"),
        ("[allowed_commands.x]\ncommand = 'ls'\nparameters = {a = {pattern = '('}}", "a: pattern: expected a regular expression"),
        ("[allowed_commands.x]\ncommand = 'ls'\nparameters = {'a b' = {}}", "needs a name of letters"),
        ("[allowed_commands.x]\ncommand = 'ls'\nparameters = {a = {default = 5}}", "the default of a: expected a text"),
        ("[allowed_commands.x]\ncommand = 'ls'\nparameters = {a = {default = '-x'}}", "the default of a: must not begin with -"),
        ("[allowed_commands.x]\ncommand = 'ls'\nparameters = {a = {default = 2026-11-22}}", "a: its own default or choices do not fit"),
        ("[allowed_commands.x]\ncommand = 'ls'\nparameters = {a = {minimum = nan}}", "a: minimum: expected a number"),
        ("[allowed_commands.x]\ncommand = 'ls'\nparameters = {a = {choices = [[1]]}}", "a: choices: expected texts, numbers, true or false"),
        ("[allowed_commands.x]\ncommand = 'ls'\nparameters = {a = {choices = []}}", "a: choices: expected a list that is not empty"),
        ("[allowed_commands.x]\ncommand = 'ls'\nparameters = {a = {type = 'integer', choices = [1, 'a']}}", "a: its own default or choices do not fit"),
    ],
)  # fmt: skip
def test_a_wrong_setting_stops_the_start_and_says_what_was_expected(tmp_path: Path, toml: str, expected: str) -> None:
    (tmp_path / "config.toml").write_text(f"{toml}\n")
    with pytest.raises(InvalidSettings) as caught:
        load_settings(str(tmp_path), {})
    assert str(caught.value).startswith(f"{tmp_path}/config.toml: allowed_commands: expected ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_the_file_approves_commands(data: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"write it as \[allowed_commands\]"):
        load_settings(str(data), {"JOBS_ALLOWED_COMMANDS": "{}"})


@pytest.mark.parametrize(
    "toml",
    [
        "command = ['awk', '{ print $1 }', '{}', '{1..3}', '${{x}', '{a-b}']\nparameters = ['x']",
        "command = ['sh', '-c', 'ls \"$1\"', 'sh', '{a}']\nparameters = ['a']", "cmd = 'for a in 1; do echo ${a}; done'\nparameters = ['a']",
        "command = ['python3', 'render.py', '-c', '{a}']\nparameters = ['a']", "command = ['python3', '-c', 'print(1)', '{a}']\nparameters = ['a']",
        "command = ['node', '--title', '{a}']\nparameters = ['a']", "command = ['php', 'mail.php', '-r{a}']\nparameters = ['a']",
        "command = ['grep', '-c', '{a}']\nparameters = {a = 'string'}", "command = ['ls']\nparameters = {a = {minimum = 1.5, default = 2}}",
    ],
)  # fmt: skip
def test_what_is_no_mistake_is_taken(tmp_path: Path, toml: str) -> None:
    (tmp_path / "config.toml").write_text(f"[allowed_commands.'a name']\n{toml}\n")
    assert list(load_settings(str(tmp_path), {}).allowed_commands) == ["a name"]


# --- over HTTP


def test_the_api_runs_an_approved_command(show: Path, server: Server, store: JobStore) -> None:
    made = server.post("/jobs", ask("show", {"text": "a b", "count": 1}))
    assert made.code == 201, made.text
    added = server.post("/jobs/add", [ask("line", {"who": "a"}), ask("line", {"who": "b"})])
    assert added.code == 200, added.text
    [shown, first, second] = [
        told_of(store, wait_for_end(store, job_id)) for job_id in (made.json["data"][0]["id"], *added.json["job_ids"])
    ]
    assert json.loads(shown.out)["argv"] == ["--", "a b", *LITERAL, "--count=1"]
    assert (first.out[:3], second.out[:3]) == ("<a>", "<b>")
    assert made.json["data"][0]["command"] == ask("show", {"text": "a b", "count": 1})["command"]


@pytest.mark.parametrize(
    ("path", "body", "problem"),
    [
        ("/jobs", ask("other"), "'other' is no approved command"), ("/jobs", ask("line"), "parameters.who: is missing"),
        ("/jobs", ask("line", {"who": "a", "x": 1}), "parameters.x: is not declared"), ("/jobs/add", ask("line", {"who": 5}), "expected a text"),
        ("/jobs/add", [ask("line", {"who": "a"}), ask("line")], "parameters.who: is missing"),
        ("/jobs", {"command": {"type": "approved"}}, "command.name: is missing"),
        ("/jobs", {"command": {"type": "approved", "name": "line", "cmd": "id"}}, "command.cmd: is not known"),
        ("/jobs", '{"command": {"type": "approved", "name": "show", "parameters": {"count": 1e999}}}', "parameters"),
    ],
)  # fmt: skip
def test_the_api_refuses_what_does_not_fit(show: Path, server: Server, path: str, body: Any, problem: str) -> None:
    answer = server.post(path, body)
    assert (answer.code, answer.json["success"]) == (400, False)
    assert problem in answer.json["message"]
    assert server.get("/jobs").json["total"] == 0


# --- by hand


def test_by_hand_it_becomes_the_command(by_hand: Callable[..., SimpleNamespace], show: Path) -> None:
    done = by_hand("show", '{"text": "a b", "count": 3}', PARAM_flag="left over", PARAM_text="left over")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["argv"], found["cwd"]) == (["--", "a b", *LITERAL, "--count=3"], str(show.parent))
    assert found["param"] == {"PARAM_text": "a b", "PARAM_count": "3"}
    done = by_hand("-", text='{"name": "line", "parameters": {"who": "in"}}')
    assert (done.code, done.out) == (0, "<in><2><none>{a,b}\n")


def test_by_hand_texts_are_utf_8_whatever_the_locale(by_hand: Callable[..., SimpleNamespace]) -> None:
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = by_hand("line", '{"who": "\\u00fc\\u65e5"}', **plain)
    assert (done.code, done.out) == (0, "<ü日><2><none>{a,b}\n"), done.err


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        ((), 2, "usage: "), (("line", "{}", "more"), 2, "usage: "), (("line", "no JSON"), 2, "usage: "), (("-x",), 2, "usage: "),
        (("line", "[" * 100_000), 2, "usage: "), (("-",), 2, "usage: "), (("other",), 1, "name: 'other' is no approved command; approved are show, line"),
        (("line",), 1, "parameters.who: is missing"), (("line", "[]"), 1, "expected an object"), (("line", '{"who": NaN}'), 1, "is no JSON"),
        (("line", '{"who": "a\\u0000"}'), 1, "NUL"), (("line", '{"who": "\\ud800"}'), 1, "UTF-8"),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_by_hand_refusals_are_one_line(
    by_hand: Callable[..., SimpleNamespace], args: tuple[str, ...], code: int, told: str
) -> None:
    done = by_hand(*args)
    assert (done.code, done.out) == (code, "")
    assert told in done.err
    assert done.err.count("\n") == 1


def test_by_hand_a_failing_command_has_its_own_exit_code(data: Path, by_hand: Callable[..., SimpleNamespace]) -> None:
    with (data / "config.toml").open("a") as config:
        config.write(
            "[allowed_commands.fails]\ncommand = 'exit 3'\n[allowed_commands.gone]\ncommand = ['no-such-program']\n"
        )
    assert by_hand("fails").code == 3
    gone = by_hand("gone")
    assert (gone.code, gone.err) == (
        127,
        "gone: no-such-program could not be started: it or its interpreter does not exist\n",
    )
    (data / "config.toml").write_text("slotz = 3\n")
    broken = by_hand("fails")
    assert (broken.code, broken.err.count("\n")) == (1, 1)
    assert "Wrong setting: " in broken.err
