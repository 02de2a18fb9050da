"""The page's routes for workers, approved classes and approved commands: what is shown, what their forms take."""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from werkzeug.security import generate_password_hash

from running_jobs import python_process
from running_jobs.settings import load_settings
from running_jobs.store import JobStore
from running_jobs.web import launching
from running_jobs.web.application import build_app
from running_jobs.web.auth import token

from .conftest import wait_for, wait_for_end
from .forms import Forms, alerts_of

PLAIN = "from running_jobs import Worker\n\n\nclass Mine(Worker):\n    def run(self):\n        self.log('mine')\n"
TAKES = [
    {"name": "scene", "type": "string", "required": True, "description": "what to <render>"},
    {"name": "frames", "type": "integer", "default": 3, "minimum": 1, "maximum": 9},
    {"name": "quality", "choices": ["draft", "final"], "default": "draft"},
    {"name": "shadows", "type": "boolean"},
    {"name": "extra", "type": "object"},
]
WITH_SCHEMA = f"""import json
from running_jobs import Worker


class Render(Worker):
    '''Renders <b>frames</b>.

    More of it.'''

    def run(self):
        self.response(json.dumps(self.parameters, sort_keys=True))

    def get_information(self):
        return {{**super().get_information(), "parameters": {TAKES!r}}}
"""
CLASSES = '''
class Report:
    """Reports of <i>months</i>."""

    def make(self, month: str, copies: int = 1) -> dict:
        """Make one."""
        return [month, copies]

    def drop(self, *months):
        pass

    def _private(self):
        pass


class Single:
    def one(self): pass
    def other(self): pass
'''
APPROVED = """
[allowed_commands.greet]
command = ["echo", "{greeting}", "to", "{whom}", "{times}"]
description = "Says <b>something</b>."
[allowed_commands.greet.parameters]
greeting = { choices = ["hello", "bye"], default = "hello" }
whom = { type = "string", required = true, pattern = "[a-z ]+" }
times = { type = "integer", maximum = 3 }
[allowed_commands.list]
command = "ls -l"
[allowed_commands.quoted]
command = ["echo", "two words"]
"""


def lay(data: Path, name: str, code: str) -> Path:
    """Lay a worker's code into a data directory by hand."""
    (data / "workers").mkdir(exist_ok=True)
    path = data / "workers" / f"{name}.py"
    path.write_text(code)
    return path


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def launch_card(page: str) -> str:
    return page.split('<section class="launch card"')[1].split("</section>")[0]


def editor(page: str) -> str:
    return page.split('<section class="editor card"')[1].split("</section>")[0]


def code_in(page: str) -> str:
    return html.unescape(re.search(r'<textarea id="code".*?>\n(.*?)</textarea>', page, re.DOTALL)[1])  # type: ignore[index]


def hidden(page: str, name: str) -> str:
    return re.search(rf'name="{name}" value="([^"]*)"', editor(page))[1]  # type: ignore[index]


# --- workers: looking, saving, deleting


def test_workers_are_listed_with_what_they_say_of_themselves(forms: Forms, data: Path) -> None:
    lay(data, "Render", WITH_SCHEMA)
    lay(data, "Broken", "import nothing_of_this_name\nfrom running_jobs import Worker\n\nclass Broken(Worker): pass\n")
    (data / "workers" / "no-worker.py").write_text("x = 1\n")
    card = launch_card(forms.page("run=worker"))
    shown = text_of(card)
    for expected in ("TestWorker", "Counts, and sleeps", "Render", "Renders <b>frames</b>.", "Broken", "New worker"):
        assert expected in shown
    assert "No module named 'nothing_of_this_name'" in shown
    assert "no-worker" not in shown and "More of it" not in shown
    assert "<b>frames</b>" not in card


def test_a_worker_is_created_changed_and_deleted(forms: Forms, data: Path, store: JobStore) -> None:
    new = forms.page("run=worker&code=%2B")
    assert "class MyWorker(Worker):" in code_in(new)
    saved = forms.post("/workers/save", {"name": "Mine", "code": PLAIN.replace("\n", "\r\n"), "new": "1"})
    assert saved.status_code == 303, alerts_of(saved.text)
    assert (data / "workers" / "Mine.py").read_text() == PLAIN
    assert (data / "workers" / "Mine.py").stat().st_mode & 0o777 == 0o600
    there = forms.client.get(saved.headers["Location"]).text
    assert code_in(there) == PLAIN
    assert "The worker was saved." in there

    assert forms.post("/workers/save", {"name": "Mine", "code": PLAIN, "new": "1"}).status_code == 303  # pressed twice
    other = PLAIN.replace("'mine'", "'other'")
    again = forms.post("/workers/save", {"name": "Mine", "code": other, "new": "1"})
    assert again.status_code == 409
    assert "is there already" in alerts_of(again.text)

    changed = PLAIN.replace("'mine'", "'changed'")
    saved = forms.post("/workers/save", {"name": "Mine", "code": changed, "was": hidden(there, "was")})
    assert saved.status_code == 303
    assert (data / "workers" / "Mine.py").read_text() == changed

    deleted = forms.post("/workers/Mine/delete", {"back": "run=worker&of=Mine&code=Mine"})
    assert deleted.status_code == 303
    assert "code=" not in deleted.headers["Location"]
    assert not (data / "workers" / "Mine.py").exists()
    assert forms.post("/workers/Mine/delete", {}).status_code == 404


def test_the_template_for_a_new_worker_is_a_worker(forms: Forms, data: Path, store: JobStore) -> None:
    code = code_in(forms.page("run=worker&code=%2B"))
    assert forms.post("/workers/save", {"name": "MyWorker", "code": code, "new": "1"}).status_code == 303
    answer = forms.post("/launch", {"worker": "MyWorker", "param.count": "2"})
    assert answer.status_code == 303, alerts_of(answer.text)
    job = wait_for_end(store, store.ids()[-1])
    out = Path(store.paths.out(job.id)).read_text()
    assert (job.status, out) == ("done", "STARTED\nat 0\nprogress 50.0%\nat 1\nprogress 100.0%\nENDED\n")


@pytest.mark.parametrize(
    ("name", "code", "said", "line"),
    [
        ("Mine", PLAIN + "    def broken(self:\n        pass\n", "line 7, column 15: ", "7"),
        ("Mine", PLAIN.replace("Mine", "Other"), "line 1, column 1: has no class Mine", "1"),
        ("Mine", "\n\nclass Mine:\n    pass\n", "line 3, column 1: the class Mine is not derived from Worker", "3"),
        ("../Mine", PLAIN, "'../Mine' is no name of a worker", None),
        ("", PLAIN, "'' is no name of a worker", None),
        ("json", PLAIN, "json is the name of a module of Python's own", None),
        ("TestWorker", PLAIN, "Worker TestWorker comes with the application", None),
    ],
)
def test_what_is_no_worker_is_refused_and_the_text_is_not_lost(
    forms: Forms, data: Path, name: str, code: str, said: str, line: str | None
) -> None:
    for fields in ({"new": "1"}, {"was": ""}):
        answer = forms.post("/workers/save", {"name": name, "code": code, "back": "run=worker&job=x", **fields})
        assert answer.status_code in (400, 409)
        assert said in alerts_of(answer.text)
        assert code_in(answer.text) == code
        found = re.search(r'data-line="(\d+)"', answer.text)
        assert (found and found[1]) == line
    assert not list(data.glob("workers/*"))


def test_two_who_edit_at_once_do_not_undo_each_other_unawares(forms: Forms, data: Path) -> None:
    path = lay(data, "Mine", PLAIN)
    was = hidden(forms.page("code=Mine"), "was")
    path.write_text(PLAIN.replace("'mine'", "'theirs'"))
    ours = PLAIN.replace("'mine'", "'ours'")
    answer = forms.post("/workers/save", {"name": "Mine", "code": ours, "was": was})
    assert answer.status_code == 409
    assert "changed by somebody else" in alerts_of(answer.text) and "deleted" not in alerts_of(answer.text)
    assert (code_in(answer.text), "theirs" in path.read_text()) == (ours, True)
    answer = forms.post("/workers/save", {"name": "Mine", "code": ours, "was": hidden(answer.text, "was")})
    assert (answer.status_code, path.read_text()) == (303, ours)
    was = hidden(forms.page("code=Mine"), "was")
    path.unlink()
    answer = forms.post("/workers/save", {"name": "Mine", "code": PLAIN, "was": was})
    assert answer.status_code == 409
    assert "deleted by somebody else" in alerts_of(answer.text)
    answer = forms.post("/workers/save", {"name": "Mine", "code": PLAIN, "was": hidden(answer.text, "was")})
    assert (answer.status_code, path.read_text()) == (303, PLAIN)


def test_a_worker_that_cannot_be_imported_now_is_saved_and_says_so(forms: Forms, data: Path) -> None:
    code = "import nothing_of_this_name\n" + PLAIN
    answer = forms.post("/workers/save", {"name": "Mine", "code": code, "new": "1"})
    assert answer.status_code == 303
    page = forms.client.get(answer.headers["Location"]).text
    assert "Something is wrong with it" in page
    assert "No module named 'nothing_of_this_name'" in text_of(launch_card(page))
    for broken in ("return {'parameters': 5}", "raise RuntimeError('not now')"):
        code = f"{PLAIN}\n    def get_information(self):\n        {broken}\n"
        answer = forms.post("/workers/save", {"name": "Mine", "code": code})
        page = forms.client.get(answer.headers["Location"]).text
        assert "Something is wrong with it" in page and "imported" not in text_of(page)


def test_only_what_is_wrong_with_a_code_is_said_in_its_editor(forms: Forms, data: Path, store: JobStore) -> None:
    lay(data, "Mine", PLAIN)
    back = "run=worker&of=Mine&code=Mine"
    refused = forms.post("/launch", {"worker": "Mine", "parameters": "[1", "back": back})
    assert (refused.status_code, 'id="code-problem"' in editor(refused.text)) == (400, False)
    forms.post("/launch", {"worker": "Mine", "delay": "1000"})
    refused = forms.post("/workers/Mine/delete", {"back": back})
    assert (refused.status_code, 'id="code-problem"' in editor(refused.text)) == (409, False)
    refused = forms.post("/workers/save", {"name": "Mine", "code": "x = (", "back": back})
    assert re.search(r'id="code-problem">line 1, column 5', editor(refused.text))
    assert re.search(r'<textarea id="code"[^>]* aria-invalid="true" aria-describedby="code-problem"', refused.text)
    for name in ("json", "Mine"):
        refused = forms.post("/workers/save", {"name": name, "code": f"{PLAIN}# more\n", "new": "1"})
        assert re.search(r'<input id="worker-name"[^>]* aria-invalid="true" aria-describedby="code-p', refused.text)
        assert not re.search(r'<textarea id="code"[^>]* aria-invalid', refused.text)


def test_a_file_that_is_too_large_to_be_shown_can_be_deleted(forms: Forms, data: Path) -> None:
    path = lay(data, "Huge", PLAIN.replace("Mine", "Huge") + "#" * (1 << 20))
    for query in ("run=worker", "run=worker&of=Huge", "run=worker&of=Huge&code=Huge"):
        assert "Huge has more than 1048576 bytes" in text_of(forms.page(query))
    page = editor(forms.page("code=Huge"))
    assert "Delete Huge" in page and "<textarea" not in page
    assert forms.post("/workers/Huge/delete", {}).status_code == 303
    assert not path.exists()


def test_what_people_say_of_their_code_is_shown_in_bounds(forms: Forms, data: Path) -> None:
    long = "word " * 100_000
    lay(data, "Mine", PLAIN.replace("(Worker):", f"(Worker):\n    {long!r}\n"))
    for query in ("run=worker", "run=worker&of=Mine"):
        page = forms.page(query)
        assert 300 < page.count("word ") <= 400


def test_code_is_shown_as_text_whatever_is_in_it(forms: Forms, data: Path) -> None:
    code = f"# </textarea><script>document.title = 'taken'</script>\n\n{PLAIN}"
    lay(data, "Mine", code)
    page = forms.page("code=Mine")
    assert code_in(page) == code
    assert "<script>document" not in page


def test_a_built_in_worker_can_be_read_alone(forms: Forms) -> None:
    page = editor(forms.page("code=TestWorker"))
    assert "readonly" in page and "comes with the application" in page
    assert "Save" not in page and "Delete" not in page
    assert forms.post("/workers/TestWorker/delete", {}).status_code == 409


def test_a_worker_in_use_is_not_deleted(forms: Forms, data: Path, store: JobStore) -> None:
    lay(data, "Mine", PLAIN)
    forms.post("/launch", {"worker": "Mine", "delay": "1000"})
    answer = forms.post("/workers/Mine/delete", {"back": "code=Mine&run=worker&of=Mine"})
    assert answer.status_code == 409
    assert f"its job {store.ids()[-1]} is queued" in alerts_of(answer.text)
    assert (data / "workers" / "Mine.py").exists()
    forms.post(f"/jobs/{store.ids()[-1]}/stop", {})
    assert forms.post("/workers/Mine/delete", {}).status_code == 303


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("code=Nothing", "Worker Nothing does not exist."),
        ("code=../app", "Worker ../app does not exist."),
        ("run=worker&of=Nothing", "There is no worker Nothing."),
        ("run=nothing&of=x", ""),
        ("run=class", ""),
    ],
)
def test_what_an_address_cannot_mean_is_not_shown(forms: Forms, query: str, said: str) -> None:
    page = forms.page(query)
    assert 'class="editor' not in page
    assert "Launch" in page
    assert said in text_of(page)
    if not said:
        assert alerts_of(page) == "" and "There is no" not in page


def test_a_page_does_not_hang_on_what_an_import_does(
    forms: Forms, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, go = tmp_path / "pid", tmp_path / "go"
    lay(data, "Slow", f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.01)\n" + PLAIN.replace("Mine", "Slow"))  # fmt: skip
    monkeypatch.setattr(launching, "WAIT_S", 0.2)
    assert "still being imported" in text_of(launch_card(forms.page("run=worker")))
    process = psutil.Process(int(wait_for(lambda: pid.exists() and pid.read_text())))
    assert "still being imported" in text_of(launch_card(forms.page("run=worker&of=Slow")))
    assert process.is_running()  # and it is the same: not one for each look
    assert int(pid.read_text()) == process.pid
    go.touch()
    wait_for(lambda: "still being imported" not in text_of(launch_card(forms.page("run=worker"))))
    process.wait(10)


# --- workers: launching


def test_a_form_is_made_from_a_workers_schema(forms: Forms, data: Path, store: JobStore) -> None:
    lay(data, "Render", WITH_SCHEMA)
    card = launch_card(forms.page("run=worker&of=Render"))
    assert re.search(r'name="param.scene" value=""[^>]* required', card)
    assert re.search(r'name="param.frames" value="3"[^>]* type="number" step="1" min="1" max="9"', card)
    assert re.search(r'<select id="[^"]*" name="param.quality"', card)
    assert '<option value="draft" selected>draft</option>' in card
    assert "what to <render>" in text_of(card).replace("  ", " ") and "<render>" not in card
    fields = {
        "worker": "Render", "param.scene": "a b.pov", "param.frames": "5", "param.quality": "final",
        "param.shadows": "true", "param.extra": '{"a": [1]}', "retries": "2", "priority": "900", "name": "frames",
    }  # fmt: skip
    answer = forms.post("/launch", {**fields, "back": "run=worker&of=Render"})
    assert answer.status_code == 303, alerts_of(answer.text)
    assert "run=worker&of=Render" in answer.headers["Location"]
    job = wait_for_end(store, store.ids()[-1])
    wanted = {"scene": "a b.pov", "frames": 5, "quality": "final", "shadows": True, "extra": {"a": [1]}}
    assert job.command == {"type": "worker", "name": "Render", "parameters": wanted}
    assert (job.status, job.retries, job.priority, job.name) == ("done", 2, 900, "frames")
    assert json.loads(Path(store.paths.response(job.id)).read_text()) == wanted
    response = forms.job(job, "&tab=response")
    assert "a b.pov" in response.split('id="job-tab"')[1]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"param.frames": "1"}, "parameters.scene: is missing"),
        ({"param.scene": "x", "param.frames": "10"}, "parameters.frames: expected at most 9"),
        ({"param.scene": "x", "param.frames": "many"}, "parameters.frames: expected a whole number"),
        ({"param.scene": "x", "param.quality": "best"}, "parameters.quality: expected one of"),
        ({"param.scene": "x", "param.shadows": "maybe"}, "parameters.shadows: expected true or false"),
        ({"param.scene": "x", "param.extra": "[1"}, "parameters.extra: expected an object"),
        ({"param.scene": "x", "param.evil": "1"}, "parameters.evil: is not declared"),
        ({"param.scene": "x", "priority": "high"}, "priority: expected a whole number"),
        ({"param.scene": "x", "param.priority": "5"}, "parameters.priority: is not declared"),
        ({"param.scene": "x", "retries": "-1", "env": "A=1\nB=2", "after": "nobody"}, "after: "),
    ],
)
def test_a_mistake_in_a_workers_form_is_named_and_nothing_is_lost(
    forms: Forms, data: Path, store: JobStore, fields: dict[str, str], said: str
) -> None:
    lay(data, "Render", WITH_SCHEMA)
    answer = forms.post("/launch", {"worker": "Render", **fields, "name": "kept", "back": "run=worker&of=Render"})
    assert answer.status_code == 400
    assert said in alerts_of(answer.text)
    assert store.ids() == []
    card = launch_card(answer.text)
    assert 'value="kept"' in card
    for name, typed in fields.items():
        assert held(card, name) == typed
    wrong = {"parameters": f"param.{said.partition('.')[2]}"}.get(said.partition(".")[0], said).partition(":")[0]
    marked = re.findall(r'<\w+ id="([^"]*)"[^>]* aria-invalid="true" aria-describedby="error" autofocus', answer.text)
    assert marked == [wrong]
    beside = html.unescape(re.findall(r'<span class="problem" aria-hidden="true">(.*?)</span></p>', card)[0])
    assert beside == alerts_of(answer.text)
    assert re.search('<p class="notice bad" id="error" role="alert">', answer.text)
    assert re.search(r"<title>.{10,85} – Running Jobs</title>", answer.text)


def held(page: str, name: str) -> str | None:
    """Return what a field of a form holds, whatever kind of field it is."""
    named = f'name="{re.escape(name)}"'
    if found := re.search(rf'<input [^>]*{named}[^>]* value="([^"]*)"', page):
        return html.unescape(found[1])
    if found := re.search(rf"<textarea [^>]*{named}[^>]*>\n(.*?)</textarea>", page, re.DOTALL):
        return html.unescape(found[1])
    found = re.search(rf"<select [^>]*{named}[^>]*>(.*?)</select>", page, re.DOTALL)
    chosen = found and re.search(r'<option value="([^"]*)" selected>', found[1])
    return html.unescape(chosen[1]) if chosen else None


def test_a_mistake_that_no_field_made_is_where_a_reader_begins(data: Path) -> None:
    (data / "config.toml").write_text(f"slots = 4\n{APPROVED}")
    refused = Forms(data).post("/launch", {"cmd": "echo <free>", "name": "kept"})
    assert refused.status_code == 403
    assert '<p class="notice bad" id="error" tabindex="-1" autofocus role="alert">' in refused.text
    assert (held(refused.text, "cmd"), held(refused.text, "name")) == ("echo <free>", "kept")
    assert "autofocus" not in Forms(data).page("job=20200101-000000-aaaa&code=Nothing")


def test_json_that_was_typed_before_there_were_fields_is_not_lost(forms: Forms, data: Path, store: JobStore) -> None:
    lay(data, "Render", WITH_SCHEMA)
    typed = '{"frames": 10, "scene": "a b.pov", "evil": 1}'
    answer = forms.post("/launch", {"worker": "Render", "parameters": typed, "name": "kept"})
    assert answer.status_code == 400
    card = launch_card(answer.text)
    shown = [held(card, name) for name in ("parameters", "param.frames", "param.scene", "name")]
    assert shown == [typed, "10", "a b.pov", "kept"]
    for wrong in ("[1", "[1]", "text"):
        answer = forms.post("/launch", {"worker": "Render", "parameters": wrong, "param.scene": "x"})
        assert (answer.status_code, held(answer.text, "parameters")) == (400, wrong)
    assert store.ids() == []


def test_a_form_is_kept_when_what_it_is_for_is_gone(with_classes: Path, data: Path, store: JobStore) -> None:
    lay(data, "Render", WITH_SCHEMA)
    forms = Forms(data)
    (data / "workers" / "Render.py").unlink()
    with_classes.write_text("class Report(:\n")
    more = {"name": "kept", "priority": "7", "env": "A=1"}
    for fields in (
        {"worker": "Render", "param.scene": "a b.pov", "parameters": '{"x": 1}'},
        {"class": "app_jobs.Report", "method": "make", "params": '["2026-11"]'},
        {"approved": "greet", "param.whom": "the world"},
    ):
        answer = forms.post("/launch", {**fields, **more})
        assert answer.status_code == 400
        card = launch_card(answer.text)
        assert {name: held(card, name) for name in {**fields, **more}} == {**fields, **more}
        assert "What was typed is kept." in card
    assert store.ids() == []


def test_choices_are_sent_as_they_are(forms: Forms, data: Path, store: JobStore) -> None:
    choices = [" two  blanks ", 'a "quote"', "5"]
    lay(data, "Mine", f"{PLAIN}\n    def get_information(self):\n        return {{'parameters': [{{'name': 'which', "
        f"'choices': {choices!r}, 'required': True}}]}}\n")  # fmt: skip
    card = launch_card(forms.page("run=worker&of=Mine"))
    offered = [html.unescape(text) for text in re.findall(r'<option value="([^"]*)">', card)]
    assert [text for text in offered if text in choices] == choices
    assert forms.post("/launch", {"worker": "Mine", "param.which": choices[0]}).status_code == 303
    assert store.get(store.ids()[-1]).command["parameters"] == {"which": choices[0]}


def test_a_whole_number_is_asked_for_in_whole_steps(forms: Forms, data: Path) -> None:
    declared = {"name": "count", "type": "integer", "minimum": 0.5, "maximum": 9.5}
    lay(data, "Mine", f"{PLAIN}\n    def get_information(self):\n        return {{'parameters': [{declared}]}}\n")
    card = launch_card(forms.page("run=worker&of=Mine"))
    assert re.search(r'name="param.count" value=""[^>]* type="number" step="1" min="1" max="9"', card)


def test_a_worker_without_a_schema_takes_json(forms: Forms, data: Path, store: JobStore) -> None:
    lay(data, "Mine", PLAIN.replace("'mine'", "self.parameters"))
    assert "a JSON object" in text_of(launch_card(forms.page("run=worker&of=Mine")))
    assert forms.post("/launch", {"worker": "Mine", "parameters": '{"a": [1, null]}'}).status_code == 303
    assert wait_for_end(store, store.ids()[-1]).command["parameters"] == {"a": [1, None]}
    for wrong in ("[1", "[1]", "text", "5"):
        answer = forms.post("/launch", {"worker": "Mine", "parameters": wrong, "back": "run=worker&of=Mine"})
        assert answer.status_code == 400
        assert wrong in answer.text
    for name in ("Nothing", "../app", "__class__", "os.system", ""):
        assert forms.post("/launch", {"worker": name}).status_code == 400
    assert len(store.ids()) == 1


# --- approved classes


@pytest.fixture
def with_classes(data: Path) -> Path:
    """Give the module of the classes that the settings approve."""
    folder = data.parent / "code"
    folder.mkdir()
    (folder / "app_jobs.py").write_text(CLASSES)
    approved = ["app_jobs.Report", "app_jobs.Single.one", "app_jobs.Gone", "missing.Gone"]
    (data / "config.toml").write_text(
        f"slots = 4\npython_path = {json.dumps([str(folder)])}\nallowed_classes = {json.dumps(approved)}\n"
    )
    return folder / "app_jobs.py"


def test_classes_are_shown_with_methods_signatures_and_docstrings(
    with_classes: Path, forms: Forms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "app_jobs", raising=False)
    page = forms.page("run=class")
    shown = " ".join(text_of(launch_card(page)).split())
    assert "app_jobs.Report Reports of <i>months</i>. make (month: str, copies: int = 1) -> dict Make one." in shown
    assert "drop (*months)" in shown
    assert "app_jobs.Single one ()" in shown
    assert "Class app_jobs.Gone does not exist." in shown and "missing.Gone" in shown
    for absent in ("_private", "other", "<i>months</i></"):
        assert absent not in shown
    assert "app_jobs" not in sys.modules


def test_a_method_is_run_from_its_form(with_classes: Path, forms: Forms, store: JobStore) -> None:
    card = launch_card(forms.page("run=class&of=app_jobs.Report.make"))
    assert "app_jobs.Report::make" in text_of(card) and "Make one." in text_of(card)
    for params, wanted in (
        ('["2026-11", 2]', ["2026-11", 2]),
        ("2026-11", ["2026-11", 1]),
        ('{"month": "x"}', ["x", 1]),
    ):
        answer = forms.post("/launch", {"class": "app_jobs.Report", "method": "make", "params": params, "retries": "1"})
        assert answer.status_code == 303, alerts_of(answer.text)
        job = wait_for_end(store, store.ids()[-1])
        assert (job.status, job.retries) == ("done", 1)
        assert json.loads(Path(store.paths.response(job.id)).read_text()) == wanted
    count = len(store.ids())
    for name, method, said in (
        ("app_jobs.Report", "_private", "Method _private does not exist in app_jobs.Report."),
        ("app_jobs.Single", "other", "Unauthorized class app_jobs.Single."),
        ("os", "system", "Unauthorized class os."),
        ("App.Jobs;rm", "x", "Unauthorized class App.Jobs;rm."),
    ):
        answer = forms.post("/launch", {"class": name, "method": method})
        assert answer.status_code in (400, 403)
        assert said in alerts_of(answer.text)
    for wrong in ("[1,", "('a', 3)", '("a", 3)', "'a', 3", '"a", 3'):
        answer = forms.post("/launch", {"class": "app_jobs.Report", "method": "make", "params": wrong})
        assert answer.status_code == 400
        assert "params: is not JSON" in alerts_of(answer.text)
        assert (held(answer.text, "params"), 'name="params"' in launch_card(answer.text)) == (wrong, True)
    assert len(store.ids()) == count


@pytest.mark.parametrize(
    ("signature", "example"),
    [
        ("(month: str, copies: int = 1) -> dict", '{"month": "text", "copies": 1}'),
        ("(*months)", '["first", 2]'),
        ("(a, b=None, /, c=2)", '["text", "text", 2]'),
        ("(*, path, size: float)", '{"path": "text", "size": 0.5}'),
        ("()", "[]"),
        ("(a=<object object at 0x7f>)", '["first", 2]'),
        ("(…)", '["first", 2]'),
        ("(a): return 1\ndef other()", '["first", 2]'),
    ],
)
def test_the_field_for_a_methods_parameters_shows_them_in_json(signature: str, example: str) -> None:
    assert launching.example_of(signature) == example
    json.loads(example)


def test_a_form_waits_for_its_own_class_alone(
    with_classes: Path, forms: Forms, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = python_process.ask
    monkeypatch.setattr(
        python_process, "ask", lambda settings, task: asked.append(task["entry"]) or ask(settings, task)
    )
    for of, entry in (("app_jobs.Report.make", "app_jobs.Report"), ("app_jobs.Single.one", "app_jobs.Single.one")):
        asked.clear()
        assert of.rpartition(".")[2] in launch_card(forms.page(f"run=class&of={of}"))
        assert asked == [entry]


def test_a_class_is_looked_at_once_for_each_change_of_its_file(
    with_classes: Path, forms: Forms, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    ask = python_process.ask
    monkeypatch.setattr(python_process, "ask", lambda settings, task: asked.append(task) or ask(settings, task))

    def looks() -> int:
        asked.clear()
        forms.page("run=class")
        return len([task for task in asked if task["entry"] in ("app_jobs.Report", "app_jobs.Single.one")])

    assert (looks(), looks()) == (2, 0)
    with_classes.write_text(CLASSES.replace("Make one.", "Make another one."))
    assert looks() == 2
    assert "Make another one." in forms.page("run=class")


# --- approved commands


def test_where_only_approved_commands_run_each_has_a_form(data: Path, store: JobStore) -> None:
    (data / "config.toml").write_text(f"slots = 4\n{APPROVED}")
    forms = Forms(data)
    card = launch_card(forms.page())
    shown = " ".join(text_of(card).split())
    assert "greet Says <b>something</b>." in shown and "list" in shown
    assert 'name="cmd"' not in forms.page() and 'name="cwd"' not in forms.page("run=approved&of=greet")
    card = launch_card(forms.page("run=approved&of=greet"))
    assert '<option value="hello" selected>hello</option>' in card
    fields = {"approved": "greet", "param.whom": "the world", "param.times": "", "back": "run=approved&of=greet"}
    answer = forms.post("/launch", fields)
    assert answer.status_code == 303, alerts_of(answer.text)
    job = wait_for_end(store, store.ids()[-1])
    assert (job.status, Path(store.paths.out(job.id)).read_text()) == ("done", "hello to the world\n")
    for wrong, code, said in (
        ({"approved": "greet", "param.whom": "The World"}, 400, "parameters.whom: expected a text that fits"),
        ({"approved": "greet", "param.whom": "x", "param.times": "4"}, 400, "parameters.times: expected at most 3"),
        ({"approved": "greet", "param.whom": "x", "param.evil": "1"}, 400, "parameters.evil: is not declared"),
        ({"approved": "greet", "param.whom": "x", "env": "A=1"}, 403, "env cannot be given"),
        ({"approved": "greet", "param.whom": "x", "cwd": "/"}, 403, "cwd cannot be given"),
        (
            {"approved": "greet", "param.whom": "x", "callback_done": '{"type": "exec", "cmd": "true"}'},
            403,
            "callback_done: only approved commands run here",
        ),
        ({"approved": "nothing"}, 400, "'nothing' is no approved command"),
        ({"cmd": "echo free"}, 403, "command: only approved commands run here"),
    ):
        answer = forms.post("/launch", wrong)
        assert (answer.status_code, said in alerts_of(answer.text)) == (code, True), alerts_of(answer.text)
    shown = text_of(launch_card(forms.page("run=approved&of=quoted")))
    assert "echo 'two words'" in shown
    assert len(store.ids()) == 1


def test_where_only_approved_commands_run_workers_are_read_and_run_alone(data: Path, store: JobStore) -> None:
    lay(data, "Mine", PLAIN)
    (data / "config.toml").write_text(f"slots = 4\n{APPROVED}")
    forms = Forms(data)
    assert "New worker" not in forms.page("run=worker")
    page = editor(forms.page("code=Mine"))
    assert "readonly" in page and "Save" not in page and "Delete" not in page
    for new in ("0", "1"):
        answer = forms.post("/workers/save", {"name": "Other", "code": PLAIN.replace("Mine", "Other"), "new": new})
        assert answer.status_code == 403
    assert forms.post("/workers/Mine/delete", {}).status_code == 403
    assert sorted(path.name for path in data.glob("workers/*")) == ["Mine.py"]
    assert forms.post("/launch", {"worker": "Mine"}).status_code == 303
    assert wait_for_end(store, store.ids()[-1]).status == "done"


# --- who may


def test_a_viewer_is_shown_no_forms(data: Path, configure: Callable[..., object]) -> None:
    hashed = generate_password_hash("geheim", method="pbkdf2:sha256:1")
    (data / "config.toml").write_text(f'[users.eva]\nhash = "{hashed}"\nrole = "viewer"\n')
    lay(data, "Mine", PLAIN)
    app = build_app(load_settings(str(data)))
    client = app.test_client()
    valid = token(app.extensions["running_jobs"], "eva")
    for query in ("run=worker", "run=worker&of=Mine&code=Mine"):
        page = client.get(f"/?{query}", auth=("eva", "geheim")).text
        assert 'class="launch' not in page and 'class="editor' not in page
    for path in ("/workers/save", "/workers/Mine/delete", "/launch"):
        refused = client.post(path, data={"token": valid, "name": "Mine"}, auth=("eva", "geheim"))
        assert (refused.status_code, "may look but change nothing" in refused.text) == (403, True)


def test_the_forms_want_their_token(forms: Forms, data: Path) -> None:
    lay(data, "Mine", PLAIN)
    for path, fields in (
        ("/workers/save", {"name": "Mine", "code": PLAIN}),
        ("/workers/Mine/delete", {"name": "Mine"}),
    ):
        assert forms.client.post(path, data=fields).status_code == 403
        other = {"Sec-Fetch-Site": "cross-site"}
        assert forms.client.post(path, data=fields, headers=other).status_code == 403
    assert (data / "workers" / "Mine.py").exists()
