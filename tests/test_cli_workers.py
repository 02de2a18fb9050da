"""Workers on the command line: queued, listed, shown, added, edited and deleted, with the server down."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from running_jobs.store import JobStore

from .conftest import PROJECT, wait_for_end

CODE = '''from running_jobs import Worker


class Adder(Worker):
    """Adds up.

    All that is in numbers."""

    def run(self):
        print(sum(self.get_parameter("numbers", [])))

    def get_information(self):
        return {**super().get_information(), "parameters": [{"name": "numbers", "type": "array", "default": []}]}
'''


@pytest.fixture
def adder(app_py, tmp_path: Path) -> Path:
    """Give a file of code that was added as the worker Adder."""
    file = tmp_path / "any name.py"
    file.write_text(CODE)
    assert app_py("workers", "add", "Adder", str(file)).out == "Worker Adder added\n"
    return file


def test_worker_prints_the_id_and_the_job_runs(app_py, store: JobStore, adder: Path) -> None:
    done = app_py("worker", "--name", "sum", "--retries", "2", "Adder", '{"numbers": [1, 2]}')
    job = wait_for_end(store, done.out.strip())
    assert (job.status, job.name, job.retries, job.command["name"]) == ("done", "sum", 2, "Adder")
    assert app_py("log", job.id).out == "STARTED\n3\nENDED\n"
    assert app_py("worker", "--wait", "Adder").out == "STARTED\n0\nENDED\n"
    assert app_py("worker", "--wait", "Adder", "null").code == 0
    shown = json.loads(app_py("worker", "--hold", "--json", "Adder", '{"numbers": []}').out)[0]
    assert (shown["worker"], shown["parameters"], shown["status"]) == ("Adder", {"numbers": []}, "idle")


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ('{"numbers": 5}', 1, "Error: parameters.numbers: expected a list, found 5\n"),
        ('{"nothing": 5}', 1, "is not declared; declared are numbers"),
        ("[1]", 2, "expected an object"),
        ("5", 2, "expected an object"),
        ("{", 2, "is not JSON"),
        ("", 2, "is not JSON"),
        ("[" * 100_000, 2, "is not JSON"),
    ],
    ids=range(7),
)
def test_wrong_parameters_store_nothing(app_py, store: JobStore, adder: Path, typed: str, code: int, said: str) -> None:
    done = app_py("worker", "Adder", typed)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert store.ids() == []


def test_an_approved_command_is_queued_with_its_parameters(app_py, data: Path, store: JobStore) -> None:
    with (data / "config.toml").open("a") as config:
        config.write('[allowed_commands.greet]\ncommand = ["printf", "hello %s|", "{who}"]\n')
        config.write('parameters = [{name = "who", type = "string", required = true}]\n')
    assert app_py("approved", "--wait", "greet", '{"who": "a; b"}').out == "hello a; b|"
    for args in (("approved", "greet"), ("approved", "greet", '{"who": 5}'), ("approved", "other"), ("run", "true")):
        done = app_py(*args)
        assert (done.code, done.err.count("\n")) == (1, 1), done.err
    assert app_py("approved", "greet", "5").code == 2
    assert len(store.ids()) == 1


def test_workers_lists_and_shows(app_py, data: Path, adder: Path) -> None:
    (data / "workers" / "Broken.py").write_text("import nothing_of_this_name\n\nclass Broken(Worker):\n    pass\n")
    (data / "workers" / "Half.py").write_text(
        "from running_jobs import Worker\n\nclass Half(Worker):\n"
        "    def get_information(self):\n        return {'description': '\\ud800\\x1b[31m red'}\n"
    )
    listed = app_py("workers").out.splitlines()
    assert [line.split()[0] for line in listed] == ["Adder", "Broken", "Half", "TestWorker"]
    assert listed[0] == f"{'Adder':<20} Adds up."
    assert "problem: it cannot be imported: ModuleNotFoundError: No module named 'nothing_of_this_name'" in listed[1]
    assert "\x1b" not in listed[2]
    assert app_py("workers", "list").out.splitlines() == listed
    as_json = json.loads(app_py("workers", "list", "--json").out)
    assert json.loads(app_py("workers", "--json").out) == as_json
    assert app_py("workers", "--json", "show", "Adder").code == 2
    assert as_json[0]["information"]["parameters"] == [{"name": "numbers", "type": "array", "default": []}]
    assert as_json[2]["information"]["description"] == "?\x1b[31m red"
    assert app_py("workers", "show", "Adder").out == CODE
    shown = json.loads(app_py("workers", "show", "Adder", "--json").out)
    assert (shown["name"], shown["code"]) == ("Adder", CODE)
    assert shown["information"]["description"] == "Adds up.\n\nAll that is in numbers."


def test_add_reads_standard_input_and_refuses_what_is_there(app_py, data: Path, adder: Path) -> None:
    other = CODE.replace("Adder", "Other")
    assert app_py("workers", "add", "Other", text=other).code == 0
    assert app_py("workers", "add", "Third", "-", text=CODE.replace("Adder", "Third")).code == 0
    again = app_py("workers", "add", "Adder", text=CODE.replace("Adds", "Sums"))
    assert (again.code, again.out, again.err.count("\n")) == (1, "", 1)
    assert "is there already" in again.err
    assert (data / "workers" / "Adder.py").read_text() == CODE
    assert app_py("workers", "add", "Adder", "/nothing/there.py").code == 2


def test_edit_replaces_the_code_or_says_where_it_is_wrong(app_py, data: Path, adder: Path) -> None:
    adder.write_text(CODE.replace("Adds", "Sums"))
    assert app_py("workers", "edit", "Adder", str(adder)).out == "Worker Adder saved\n"
    assert (data / "workers" / "Adder.py").read_text() == CODE.replace("Adds", "Sums")
    wrong = app_py("workers", "edit", "Adder", "-", text="class Adder(Worker:\n    pass\n")
    assert (wrong.code, wrong.err) == (1, "Error: line 1, column 19: invalid syntax\n")
    assert (data / "workers" / "Adder.py").read_text() == CODE.replace("Adds", "Sums")
    assert app_py("workers", "edit", "Nothing", "-", text=CODE).code == 1
    adder.write_bytes(b"# one\n# \xff\n")
    assert "line 2, column 3: is not UTF-8" in app_py("workers", "edit", "Adder", str(adder)).err


def test_what_cannot_be_imported_here_is_saved_with_a_warning(app_py, data: Path) -> None:
    code = "import nothing_of_this_name\nfrom running_jobs import Worker\n\nclass Needs(Worker):\n    pass\n"
    done = app_py("workers", "add", "Needs", text=code)
    assert (done.code, done.out, done.err.count("\n")) == (0, "Worker Needs added\n", 1)
    assert "Warning: it cannot be imported: ModuleNotFoundError" in done.err


def test_delete_says_what_refused_and_goes_on(app_py, data: Path, store: JobStore, adder: Path) -> None:
    job_id = app_py("worker", "--delay", "1000", "Adder").out.strip()
    assert app_py("workers", "add", "Other", text=CODE.replace("Adder", "Other")).code == 0
    done = app_py("workers", "delete", "Adder", "TestWorker", "Nothing", "Other")
    assert (done.code, done.out) == (1, "Worker Other deleted\n")
    assert [line.split()[2] for line in done.err.splitlines()] == ["Adder", "TestWorker", "Nothing"]
    assert job_id in done.err
    assert app_py("stop", job_id).code == 0
    assert app_py("workers", "delete", "Adder").code == 0
    assert app_py("workers").out.split()[0] == "TestWorker"


# --- in the editor


def in_a_terminal(editor: str, answers: str, *args: str) -> tuple[int, str]:
    """Run `app.py ARGS` in a terminal with this editor, type what is to be answered; return exit code and output."""
    ours, theirs = pty.openpty()
    os.write(ours, answers.encode())
    with subprocess.Popen(
        [sys.executable, str(PROJECT / "app.py"), *args],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**os.environ, "EDITOR": editor, "VISUAL": editor},
    ) as process:  # fmt: skip
        os.close(theirs)
        said = b""
        while select.select([ours], [], [], 30)[0]:
            try:
                part = os.read(ours, 4096)
            except OSError:  # nobody has it open any more
                break
            if not part:
                break
            said += part
        code = process.wait(timeout=30)
    os.close(ours)
    return code, said.decode()


@pytest.fixture
def editor(tmp_path: Path):
    """Give a function that makes an editor: a shell line in which $1 is the file and $n counts its calls from 1."""

    def make(line: str) -> str:
        path = tmp_path / "editor.sh"
        path.write_text(f"#!/bin/sh\necho >> {tmp_path}/calls\nn=$(wc -l < {tmp_path}/calls)\n{line}\n")
        path.chmod(0o700)
        return str(path)

    return make


def test_the_editor_saves_what_it_leaves(editor, data: Path, adder: Path) -> None:
    code, said = in_a_terminal(editor('sed -i s/Adds/Sums/ "$1"'), "", "workers", "edit", "Adder")
    assert code == 0, said
    assert "Worker Adder saved" in said
    assert (data / "workers" / "Adder.py").read_text() == CODE.replace("Adds", "Sums")


def test_what_is_left_as_it_was_is_not_saved(editor, data: Path, adder: Path) -> None:
    before = (data / "workers" / "Adder.py").stat().st_mtime_ns
    code, said = in_a_terminal(editor("true"), "", "workers", "edit", "Adder")
    assert (code, said.strip()) == (0, "Worker Adder is as it was.")
    assert (data / "workers" / "Adder.py").stat().st_mtime_ns == before


def test_what_is_refused_can_be_edited_again(editor, data: Path, adder: Path) -> None:
    line = 'if [ $n = 1 ]; then sed -i "s/(Worker):/(Worker:/" "$1"; else sed -i "s/(Worker:/(Worker):  # mended/" "$1"; fi'
    code, said = in_a_terminal(editor(line), "y\n", "workers", "edit", "Adder")
    assert code == 0, said
    assert "Error: line 4, column 19: invalid syntax" in said
    assert "class Adder(Worker):  # mended\n" in (data / "workers" / "Adder.py").read_text()


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ('echo "class Adder(" > "$1"', "n\n"),
        ('echo "class Adder(" > "$1"', "\x04"),
        ('[ $n = 1 ] || exit 1; echo "class Adder(" > "$1"', "y\n"),
    ],
    ids=["declined", "the terminal is gone", "the editor fails"],
)
def test_the_text_that_is_given_up_is_kept(editor, data: Path, adder: Path, line: str, answers: str) -> None:
    code, said = in_a_terminal(editor(line), answers, "workers", "edit", "Adder")
    assert code == 1, said
    kept = Path(said.split("The text is kept in ")[1].split()[0])
    assert kept.read_text() == "class Adder(\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.unlink()
    assert (data / "workers" / "Adder.py").read_text() == CODE


def test_a_worker_that_cannot_be_saved_is_not_opened(editor, adder: Path, tmp_path: Path) -> None:
    for name in ("TestWorker", "Nothing", "../Adder"):
        code, said = in_a_terminal(editor("true"), "", "workers", "edit", name)
        assert (code, said.count("\n")) == (1, 1), said
    assert not (tmp_path / "calls").exists()
