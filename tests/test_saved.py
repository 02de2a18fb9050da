"""The launch form filled from a job, and commands that are kept by name to be launched with one click."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys
from werkzeug.security import generate_password_hash

from running_jobs import saved, slurm_options, spec
from running_jobs.actions import Actions
from running_jobs.errors import InvalidJob, NoSuchSaved, UnreadableSaved
from running_jobs.job import Job
from running_jobs.option_texts import read_option
from running_jobs.saved import SavedCommands
from running_jobs.store import JobStore

from .conftest import Server, wait_for, wait_for_end
from .forms import Forms, alerts_of, unsealed
from .page import Page

HASH = generate_password_hash("right", method="pbkdf2:sha256:1")
WORKER = """
from running_jobs import Worker

class Shrink(Worker):
    def get_information(self):
        return {"description": "x", "parameters": [
            {"name": "text", "type": "string"}, {"name": "any"}, {"name": "count", "type": "integer", "default": 3},
            {"name": "flag", "type": "boolean"}, {"name": "list", "type": "array"},
            {"name": "kind", "choices": ["a", "b c"]}, {"name": "ratio", "type": "number", "required": True},
        ]}
"""
CODE = "class Report:\n    def make(self, what, *more, **named):\n        return what\n"
SAME = (
    "command", "name", "context", "priority", "cwd", "env", "nice", "timeout", "retries", "retry_delay", "delay",
    "after", "callback_done", "callback_failed", "progress_pattern",
)  # fmt: skip


@pytest.fixture
def code(data: Path, tmp_path: Path) -> Path:
    """Give a worker, an approved class, and the folder in which its code is."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "app_jobs.py").write_text(CODE)
    (data / "workers").mkdir()
    (data / "workers" / "Shrink.py").write_text(WORKER)
    with (data / "config.toml").open("a") as config:
        config.write(f'python_path = ["{folder}"]\nallowed_classes = ["app_jobs.Report"]\n')
    return folder


@pytest.fixture
def kept(store: JobStore) -> SavedCommands:
    """Give the commands that are kept in the test's data directory."""
    return SavedCommands(store)


def launch_form(page: str) -> tuple[dict[str, str], str]:
    """Return what a browser would send of the launch form, and the form's HTML."""
    form = page.split('<section class="launch')[1].split("<form ")[1].split("</form>")[0]
    texts = {}
    for tag in re.findall(r"<input [^>]*>", form):
        found = {name: html.unescape(text) for name, text in re.findall(r'(\w+)="([^"]*)"', tag)}
        if found.get("type") != "radio" or " checked" in tag:
            texts[found["name"]] = found.get("value", "")
    for name, text in re.findall(r'<textarea [^>]*?name="([^"]*)"[^>]*>\n?(.*?)</textarea>', form, re.DOTALL):
        texts[name] = html.unescape(text).replace("\n", "\r\n")
    for name, options in re.findall(r'<select [^>]*?name="([^"]*)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'value="([^"]*)"[^>]* selected', options)
        texts[name] = html.unescape(chosen[1]) if chosen else ""
    return texts, form


def sent_again(forms: Forms, store: JobStore, query: str) -> Job:
    """Return the job that the filled form makes if nothing is changed in it."""
    texts, _ = launch_form(forms.page(query))
    before = set(store.ids())
    answer = forms.post("/launch", {**texts, "hold": "1"})
    assert answer.status_code == 303, alerts_of(answer.text)
    [made] = set(store.ids()) - before
    return store.get(made)


HTTP = {"type": "http", "url": "https://example.org/?job=__JOBID__"}
JOBS: dict[str, dict[str, Any]] = {
    "plain": {"command": {"type": "exec", "cmd": "echo plain"}},
    "lines": {"command": {"type": "exec", "cmd": "\n cat <<'END'\n<b>&amp; \"x\" </textarea>\nEND\n"}},
    "all": {
        "command": {"type": "exec", "cmd": "true"}, "name": "a <b>name</b>", "context": "gpu", "priority": 7,
        "timeout": 0.5, "retries": 2, "retry_delay": 0, "delay": 3600, "cwd": "/tmp", "nice": -3, "progress_pattern": r"frame (\d+) of (\d+)",
        "env": {"TOKEN": "geheim = 1", "EMPTY": ""}, "callback_done": HTTP,
        "callback_failed": {"type": "exec", "cmd": "echo \"$JOB_ID\"", "timeout": 5},
    },
    "lines in the environment": {"command": {"type": "exec", "cmd": "true"}, "env": {"A": "1\n2", "B": "ü"}},
    "a callback that sends": {
        "command": {"type": "exec", "cmd": "true"}, "callback_done": {**HTTP, "method": "POST", "json": {"a": 1}},
    },
    "worker": {"command": {"type": "worker", "name": "Shrink", "parameters": {
        "text": "12", "any": "12", "count": 4, "flag": False, "list": [1, "ü"], "kind": "b c", "ratio": 1,
    }}},
    "worker's texts": {"command": {"type": "worker", "name": "Shrink", "parameters": {
        "text": "two\nlines", "any": {"a": None}, "ratio": 0.25,
    }}},
    "worker without fields": {"command": {"type": "worker", "name": "TestWorker", "parameters": {"count": 2, "sleep": 0}}},
    "method": {"command": {"type": "method", "class": "app_jobs.Report", "method": "make", "params": {"what": [1, "ü"]}}},
    "method's one value": {"command": {"type": "method", "class": "app_jobs.Report", "method": "make", "params": "12"}},
}  # fmt: skip


@pytest.mark.parametrize("options", JOBS.values(), ids=JOBS.keys())
def test_a_form_filled_from_a_job_makes_the_same_job(
    code: Path, configure: Callable[..., Actions], data: Path, options: dict[str, Any]
) -> None:
    actions = configure()
    forms = Forms(data)
    first = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    old = actions.submit({**options, "after": [first.id]})
    made = sent_again(forms, actions.store, f"like={old.id}")
    assert {name: getattr(made, name) for name in SAME} == {name: getattr(old, name) for name in SAME}


def test_every_option_is_filled_in(forms: Forms, actions: Actions) -> None:
    job = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    texts, _ = launch_form(forms.page(f"like={job.id}"))
    assert spec.OPTIONS.keys() - texts.keys() == {"command", "executor", *slurm_options.CHECKS}, "fill them in, too"


def test_the_options_are_unfolded_if_there_is_something_in_them(forms: Forms, actions: Actions) -> None:
    plain = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    other = actions.submit({"command": {"type": "exec", "cmd": "true"}, "nice": 3})
    assert 'class="options" open' not in launch_form(forms.page(f"like={plain.id}"))[1]
    assert 'class="options" open' in launch_form(forms.page(f"like={other.id}"))[1]


def test_parameters_that_are_not_declared_any_more_go_to_the_free_field(
    code: Path, configure: Callable[..., Actions], data: Path
) -> None:
    actions = configure()
    parameters = {"ratio": 1, "old": [1]}
    (data / "workers" / "Shrink.py").write_text(WORKER.replace('"ratio", "type"', '"old"}, {"name": "ratio", "type"'))
    old = actions.submit({"command": {"type": "worker", "name": "Shrink", "parameters": parameters}})
    (data / "workers" / "Shrink.py").write_text(WORKER)
    texts, _ = launch_form(Forms(data).page(f"like={old.id}"))
    assert (texts["param.ratio"], json.loads(texts["parameters"])) == ("1", {"old": [1]})


def test_jobs_it_waited_for_that_are_gone_and_moments_that_are_over_are_left_out(
    forms: Forms, actions: Actions
) -> None:
    first = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    old = actions.submit(
        {"command": {"type": "exec", "cmd": "true"}, "after": [first.id], "at": "2020-01-01T00:00:00Z"}
    )
    actions.delete(first.id)
    texts, _ = launch_form(forms.page(f"like={old.id}"))
    assert (texts["after"], texts["at"]) == ("", "")


def test_what_cannot_fill_the_form_is_said(forms: Forms, actions: Actions, data: Path) -> None:
    request = actions.submit({"command": {"type": "http", "url": "http://127.0.0.1:9/"}})
    (data / "20200101-000000-000000.json").write_text("{")
    for job_id, told in (
        ("20200101-000000-111111", "does not exist"),
        ("20200101-000000-000000", "cannot be read"),
        (request.id, "has no form"),
    ):
        page = forms.page(f"like={job_id}")
        assert told in alerts_of(page)
        assert launch_form(page)[0]["cmd"] == ""
    assert "Run again, changed" not in forms.job(request)


def test_a_jobs_panel_leads_to_the_form_and_back(forms: Forms, actions: Actions, store: JobStore) -> None:
    job = actions.submit({"command": {"type": "exec", "cmd": "echo x"}})
    [address] = re.findall(r'href="([^"]*)"[^>]*>Run again, changed<', forms.job(job))
    page = forms.client.get(html.unescape(address).partition("#")[0]).text
    assert launch_form(page)[0]["cmd"] == "echo x"
    back = launch_form(page)[0]["back"]
    assert f"like={job.id}" in back
    for path, fields in (("/launch", {"cmd": "true"}), (f"/jobs/{job.id}/delete", {})):
        assert "like=" not in forms.post(path, {**fields, "back": back}).headers["Location"]


def test_an_environment_may_be_json() -> None:
    assert read_option("env", '{"A": "1\\n2"}') == {"A": "1\n2"}
    assert read_option("env", "{A=1") == {"{A": "1"}


def test_viewers_see_no_values_and_no_forms(data: Path, configure: Callable[..., Actions]) -> None:
    actions = configure()
    job = actions.submit({"command": {"type": "exec", "cmd": "true"}, "env": {"TOKEN": "geheim"}})
    SavedCommands(actions.store).keep(
        "nightly", {"command": {"type": "exec", "cmd": "true"}, "env": {"TOKEN": "geheim"}}
    )
    with (data / "config.toml").open("a") as config:
        for name, role in (("olga", "operator"), ("vera", "viewer")):
            config.write(f'[users.{name}]\nrole = "{role}"\nhash = "{HASH}"\n')
    client = Forms(data).client
    for query in (f"like={job.id}", f"kept={saved._digest('nightly')}"):
        assert "geheim" in client.get(f"/?{query}", auth=("olga", "right")).text
        page = client.get(f"/?{query}", auth=("vera", "right"))
        assert (page.status_code, "geheim" in page.text, "nightly" in page.text) == (200, False, False)
    assert "geheim" not in client.get("/", auth=("olga", "right")).text
    assert "Run again, changed" not in client.get(f"/?job={job.id}", auth=("vera", "right")).text
    for path in ("/saved", f"/saved/{saved._digest('nightly')}/launch", f"/saved/{saved._digest('nightly')}/delete"):
        assert client.post(path, data={}, auth=("vera", "right")).status_code == 403


# --- kept


def test_a_command_is_kept_and_launched_with_one_click(forms: Forms, store: JobStore, kept: SavedCommands) -> None:
    answer = forms.post("/saved", {"cmd": "echo <x>", "keep_as": " the  nightly run ", "priority": "9", "back": "q=x"})
    assert (answer.status_code, unsealed(answer.headers["Location"])) == (303, "/?q=x&said=kept")
    page = forms.page(answer.headers["Location"][2:].replace("q=x&", ""))
    assert "The command was kept." in page
    assert "the nightly run</b>" in page
    assert "echo &lt;x&gt;</span>" in page
    [one] = kept.all()[0]
    answer = forms.post(f"/saved/{one.id}/launch", {"back": "status=done&code=x&kept=abc"})
    job = wait_for_end(store, store.ids()[0])
    assert unsealed(answer.headers["Location"]) == f"/?status=done&kept=abc&job={job.id}&said=launch"
    assert (job.what, job.priority) == ("echo <x>", 9)


def test_what_is_kept_is_edited_under_its_name(forms: Forms, store: JobStore, kept: SavedCommands) -> None:
    forms.post("/saved", {"cmd": "echo 1", "keep_as": "one", "hold": "1", "name": "shown", "env": "A=b"})
    [one] = kept.all()[0]
    texts, form = launch_form(forms.page(f"kept={one.id}"))
    assert (texts["cmd"], texts["keep_as"], texts["hold"], texts["name"]) == ("echo 1", "one", "1", "shown")
    assert 'class="options" open' in form
    assert unsealed(forms.post("/saved", {**texts, "cmd": "echo 2"}).headers["Location"]) == "/?said=kept"
    [one] = kept.all()[0]
    assert (one.options["command"]["cmd"], one.options["env"], one.options["start"]) == ("echo 2", {"A": "b"}, False)
    forms.post(f"/saved/{one.id}/launch", {})
    assert store.get(store.ids()[0]).status == "idle"
    answer = forms.post(f"/saved/{one.id}/delete", {"back": f"kept={one.id}"})
    assert unsealed(answer.headers["Location"]) == "/?said=kept-deleted"
    assert kept.all() == ([], {})


@pytest.mark.parametrize("options", JOBS.values(), ids=JOBS.keys())
def test_any_form_is_kept_and_makes_the_same_job(
    code: Path, configure: Callable[..., Actions], data: Path, options: dict[str, Any]
) -> None:
    actions = configure()
    forms = Forms(data)
    old = actions.submit(options)
    texts, _ = launch_form(forms.page(f"like={old.id}"))
    answer = forms.post("/saved", {**texts, "keep_as": "it", "hold": "1"})
    assert answer.status_code == 303, alerts_of(answer.text)
    [one] = SavedCommands(actions.store).all()[0]
    forms.post(f"/saved/{one.id}/launch", {})
    made = [actions.store.get(actions.store.ids()[-1]), sent_again(forms, actions.store, f"kept={one.id}")]
    for job in made:
        assert {name: getattr(job, name) for name in SAME} == {name: getattr(old, name) for name in SAME}


def test_mistakes_are_named_and_nothing_is_kept(forms: Forms, data: Path) -> None:
    for fields, told in (
        ({"cmd": "true", "keep_as": " "}, "keep_as: is empty"),
        ({"cmd": "true"}, "keep_as: is empty"),
        ({"cmd": "true", "keep_as": "x" * 101}, "at most 100 characters"),
        ({"cmd": "true", "keep_as": "a\u202eb"}, "can be seen"),
        ({"cmd": " ", "keep_as": "x"}, "is empty; expected a shell line"),
        ({"cmd": "true", "keep_as": "x", "cwd": "/nowhere"}, "does not exist"),
        ({"cmd": "x" * 70_000, "keep_as": "x"}, "too large to be kept"),
        ({"worker": "Nobody", "keep_as": "x"}, "Nobody does not exist"),
    ):
        answer = forms.post("/saved", fields)
        assert (answer.status_code, told in alerts_of(answer.text)) == (400, True), (fields, alerts_of(answer.text))
        assert launch_form(answer.text)[0]["keep_as"] == fields.get("keep_as", "")
    assert not (data / "saved").exists()
    assert 'id="keep_as"' in answer.text
    assert forms.client.post("/saved", data={"cmd": "true", "keep_as": "x"}).status_code == 403, "without the token"


def test_what_is_gone_is_said_to_be_gone(forms: Forms) -> None:
    for path in ("/saved/abc/launch", "/saved/abc/delete", "/saved/..%2fsecret/launch", "/saved/a.b/launch"):
        answer = forms.post(path, {})
        assert answer.status_code == 404
    assert "No command is kept as abc any more" in alerts_of(forms.page("kept=abc"))


def test_files_are_private_and_named_by_nobody(kept: SavedCommands, data: Path) -> None:
    names = ["../../etc/passwd", "a/b", "-rf", "ü" * 100, "<b>", "con", ".hidden", "x.json"]
    for name in names:
        kept.keep(name, {"command": {"type": "exec", "cmd": "true"}, "env": {"A": "geheim"}})
    assert sorted(one.name for one in kept.all()[0]) == sorted(names)
    assert os.stat(data / "saved").st_mode & 0o777 == 0o700
    for path in (data / "saved").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert re.fullmatch(r"[0-9a-f]{24}\.json", path.name)


def test_a_number_of_commands_is_kept(kept: SavedCommands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "MAX_SAVED", 2)
    command = {"command": {"type": "exec", "cmd": "true"}}
    for name in ("a", "b", "a"):
        kept.keep(name, command)
    with pytest.raises(InvalidJob, match="2 commands are kept already"):
        kept.keep("c", command)
    assert [one.name for one in kept.all()[0]] == ["a", "b"]


DAMAGED = {
    "cut": b'{"name": "a", "opt', "list": b"[]", "empty": b"", "binary": b"\xff\xfe", "nested": b"[" * 60_000,
    "no-command": b'{"name": "a", "options": {}}', "no-text": b'{"name": 1, "options": {"command": {}}}',
    "half": b'{"name": "a", "options": {"command": {"cmd": "\\ud800"}}}', "huge": b" " * 70_000,
    "no-name": b'{"name": " ", "options": {"command": {}}}',
}  # fmt: skip


def test_what_is_damaged_is_reported_and_left_alone(forms: Forms, kept: SavedCommands, data: Path) -> None:
    good = kept.keep("good", {"command": {"type": "exec", "cmd": "true"}})
    for name, content in DAMAGED.items():
        (data / "saved" / f"{name}.json").write_bytes(content)
    (data / "saved" / "link.json").symlink_to(data / "config.toml")
    (data / "saved" / "folder.json").mkdir()
    bad = {*DAMAGED, "link", "folder"}
    found, problems = kept.all()
    assert (found, set(problems)) == ([good], bad)
    page = forms.page()
    for name in bad:
        assert f"The file saved/{name}.json cannot be read" in page
        with pytest.raises(UnreadableSaved):
            kept.delete(name)
        assert forms.post(f"/saved/{name}/launch", {}).status_code == 409
        assert "cannot be read" in alerts_of(forms.page(f"kept={name}"))
    for name, content in DAMAGED.items():
        assert (data / "saved" / f"{name}.json").read_bytes() == content


def test_a_damaged_file_is_not_replaced(kept: SavedCommands, data: Path) -> None:
    one = kept.keep("one", {"command": {"type": "exec", "cmd": "true"}})
    path = data / "saved" / f"{one.id}.json"
    path.write_text("{")
    with pytest.raises(UnreadableSaved):
        kept.keep("one", one.options)
    assert path.read_text() == "{"


def test_a_file_laid_there_by_hand_keeps_its_name(kept: SavedCommands, data: Path, forms: Forms) -> None:
    (data / "saved").mkdir()
    record = {"name": "by hand", "options": {"command": {"type": "exec", "cmd": "true"}, "nonsense": 1}}
    (data / "saved" / "nightly.json").write_text(json.dumps(record))
    assert "nonsense" in alerts_of(forms.page("kept=nightly"))
    assert "nonsense" in alerts_of(forms.post("/saved/nightly/launch", {}).text)
    kept.keep("by hand", {"command": {"type": "exec", "cmd": "echo"}})
    assert os.listdir(data / "saved") == ["nightly.json"]
    kept.delete("nightly")
    with pytest.raises(NoSuchSaved):
        kept.get("nightly")


def test_what_was_renamed_by_hand_is_not_overwritten(kept: SavedCommands, data: Path) -> None:
    options = {"command": {"type": "exec", "cmd": "true"}, "start": True}
    for name in ("B", "C"):
        path = data / "saved" / f"{kept.keep('A', options).id}.json"
        path.write_text(path.read_text().replace('"A"', f'"{name}"'))
    third = kept.keep("A", options)
    assert [saved.name for saved in kept.all()[0]] == ["A", "B", "C"]
    assert kept.keep("A", options).id == third.id
    assert len(kept.all()[0]) == 3


def test_a_folder_that_is_a_link_is_not_followed(kept: SavedCommands, data: Path, tmp_path: Path, forms: Forms) -> None:
    (tmp_path / "elsewhere").mkdir()
    record = {"name": "a", "options": {"command": {"type": "exec", "cmd": "true"}}}
    (tmp_path / "elsewhere" / "a.json").write_text(json.dumps(record))
    (data / "saved").symlink_to(tmp_path / "elsewhere")
    assert kept.all() == ([], {})
    assert forms.post("/saved/a/launch", {}).status_code in (404, 409)
    assert forms.post("/saved", {"cmd": "true", "keep_as": "b"}).status_code == 507
    assert os.listdir(tmp_path / "elsewhere") == ["a.json"]


# --- where only approved commands run


def test_where_only_approved_commands_run_nothing_else_is_kept_or_launched(
    data: Path, configure: Callable[..., Actions]
) -> None:
    actions = configure()
    kept = SavedCommands(actions.store)
    shell = {"command": {"type": "exec", "cmd": "echo walked around"}, "start": True}
    before = {
        "shell": shell,
        "env": {"command": {"type": "worker", "name": "TestWorker", "parameters": {}}, "env": {"A": "b"}},
        "callback": {
            "command": {"type": "worker", "name": "TestWorker", "parameters": {}},
            "callback_done": shell["command"],
        },
    }
    for name, options in before.items():
        kept.keep(name, options)
    secret = {"type": "http", "url": "https://example.org/", "headers": {"Authorization": "geheim"}}
    job = actions.submit(
        {"command": {"type": "worker", "name": "TestWorker", "parameters": {}}, "callback_done": secret}
    )
    with (data / "config.toml").open("a") as config:
        config.write('[allowed_commands.greet]\ncommand = ["echo", "hello", "{who}"]\nparameters = ["who"]\n')
    forms = Forms(data)
    for one in kept.all()[0]:
        answer = forms.post(f"/saved/{one.id}/launch", {})
        assert (answer.status_code, "allowed_commands is set" in alerts_of(answer.text)) == (403, True)
    for fields in ({"cmd": "true"}, {"approved": "greet", "param.who": "you", "env": "A=b"}):
        answer = forms.post("/saved", {**fields, "keep_as": "new"})
        assert (answer.status_code, "allowed_commands is set" in alerts_of(answer.text)) == (403, True)
    assert actions.store.ids() == [job.id]
    assert len(kept.all()[0]) == len(before)
    page = forms.page(f"like={job.id}")
    assert "geheim" not in page
    assert "Its callback is left out" in page
    assert forms.post("/saved", {"approved": "greet", "param.who": "you", "keep_as": "greet you"}).status_code == 303
    [greet] = [one for one in kept.all()[0] if one.name == "greet you"]
    assert launch_form(forms.page(f"kept={greet.id}"))[0]["param.who"] == "you"
    forms.post(f"/saved/{greet.id}/launch", {})
    made = wait_for_end(actions.store, actions.store.ids()[-1])
    assert Path(actions.store.paths.out(made.id)).read_text() == "hello you\n"


# --- in a browser


@pytest.fixture
def page(server: Server, tab: Any) -> Page:
    """Give the page in a browser."""
    return Page(tab, server.url).open()


def test_a_command_is_kept_with_enter_and_launched_again_with_one_click(
    page: Page, store: JobStore, kept: SavedCommands
) -> None:
    page.fill(cmd="echo kept")
    page.fill(keep_as="the <b>nightly</b> run")
    field = page.browser.find_element("id", "keep_as")
    field.send_keys(Keys.ENTER)
    page.wait_text(".notice.good", "The command was kept.")
    assert store.ids() == [], "Enter in the field for its name launches nothing"
    assert "the <b>nightly</b> run" in page.text(".kept")
    page.follow(".kept button", "Launch")
    page.wait_status("done")
    page.wait_text("#log", "kept")
    page.follow(".verbs a", "Run again, changed")
    assert page.value("#cmd") == "echo kept"
    page.fill(cmd="echo changed")
    page.submit()
    page.wait_status("done")
    page.wait_text("#log", "changed")
    page.click(".kept summary", "Delete")
    page.follow(".kept button", "Delete the <b>nightly</b> run")
    assert kept.all() == ([], {})
    assert not page.shows(".kept")


def test_without_scripts_it_all_works_too(
    server: Server, plain_browser: Any, kept: SavedCommands, store: JobStore
) -> None:
    page = Page(plain_browser, server.url).open()
    page.fill(cmd="echo plain", keep_as="plain")
    page.follow(".launch button", "Keep")
    assert page.message == "The command was kept."
    page.follow(".kept a", "Edit")
    page.fill(cmd="echo edited")
    page.follow(".launch button", "Keep")
    page.follow(".kept button", "Launch")
    assert page.message == "The job was launched."
    assert Path(store.paths.out(wait_for_end(store, page.job_id).id)).read_text() == "edited\n"
    page.follow(".verbs a", "Keep this command")
    assert page.value("#cmd") == "echo edited"
    page.click(".kept summary", "Delete")
    page.follow(".kept .danger")
    wait_for(lambda: kept.all() == ([], {}))
