"""Markup and terminal escapes in every text that somebody else wrote: shown as text, in every place of the page."""

from __future__ import annotations

import html
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from running_jobs.actions import Actions
from running_jobs.job import ERROR, IDLE, Job
from running_jobs.saved import SavedCommands
from running_jobs.settings import load_settings
from running_jobs.store import JobStore
from running_jobs.web.application import build_app
from running_jobs.web.job_view import TABS

from ..conftest import Listener, Server, wait_for
from .house import COMMAND

TAKEN = "document.title='taken'"
EVALUATED = re.compile(r"taken\\?'>49|%\}\$?49")  # a template within bad(), what stands before it, and what it is worth


def bad(mark: str, loads: str = "http://127.0.0.1:9") -> str:
    """Return markup that would run or load something wherever it stands: in text, an attribute, a script, a style."""
    return (
        f"{mark}</pre></textarea></title></script></style>--><script>{TAKEN}</script><img src={loads}/{mark} onerror={TAKEN}>"
        f"\"' autofocus onfocus={TAKEN} x=<svg onload={TAKEN}><a href=javascript:{TAKEN}>{{{{7*7}}}}{{%x%}}${{7*7}}&lt;b&gt;<base href={loads}/>"
    )


ESCAPES = (
    f"\x1b]8;;javascript:{TAKEN}\x1b\\press\x1b]8;;\x1b\\ \x1b]8;;data:text/html,<script>{TAKEN}</script>\x07press\x1b]8;;\x07 "
    f"\x1b]8;;https://evil.example/\"onclick=\"{TAKEN}\x1b\\web\x1b]8;;\x1b\\ \x1b]8;;vbscript:x\x1b\\v\x1b]8;;\x1b\\ "
    f"\x1b]8;;file:///etc/passwd\x1b\\file\x1b]8;;\x1b\\ \x1b]8;; javascript:{TAKEN}\x1b\\space\x1b]8;;\x1b\\ "
    f"\x1b]8;;java\tscript:{TAKEN}\x1b\\tab\x1b]8;;\x1b\\ \x1b]0;<script>{TAKEN}</script>\x07 \x1b]52;c;ZXZpbA==\x07 \x1bP<b>\x1b\\ "
    f"\x1b[<script>m \x1b[38;5;<img>m x\x1b[31<script>{TAKEN}</script>m \x9b<b>m \u202e<script>\u202c"
)  # fmt: skip


class Found(HTMLParser):
    """What a browser would find on a page that could run or load something and is not of our making."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.scripts = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Look at an element."""
        texts = {name: text or "" for name, text in attributes}
        self.scripts += tag == "script"
        if tag == "script" and not texts.get("src", "").startswith("/static/"):
            self.wrong.append(f"script {texts}")
        if tag in ("base", "iframe", "object", "embed", "style", "svg") and not ours(tag, texts):
            self.wrong.append(f"{tag} {texts}")
        for name, text in texts.items():
            if name.startswith("on") or name in ("style", "srcdoc", "x", "ping", "srcset"):
                self.wrong.append(f"{tag} {name}={text}")
            if name in ("href", "src", "action", "formaction", "poster", "data"):
                is_own = text.startswith(("/", "#", "?")) and not text.startswith("//")
                is_link = (
                    tag == "a" and text.startswith("https://evil.example/") and "noreferrer" in texts.get("rel", "")
                )
                if not (is_own or is_link):
                    self.wrong.append(f"{tag} {name}={text}")


def ours(tag: str, texts: dict[str, str]) -> bool:
    """Say whether an element is one of the page's own drawings: they have a class or a role and nothing that runs."""
    return tag == "svg" and bool(texts.keys() & {"class", "role", "viewbox"})


def wrong_on(page: str) -> list[str]:
    """Return what must not be on a page."""
    return Found(page).wrong


def hostile(data: Path, loads: str = "http://127.0.0.1:9") -> list[str]:
    """Fill a directory with hostile texts in all places where they can come from; return the ids of the jobs."""

    def of(mark: str) -> str:
        return bad(mark, loads)

    (data / "config.toml").write_text(
        f'slots = 4\nallowed_classes = [{json.dumps(of("class"))}, "a.B"]\n[contexts.{json.dumps(of("context"))}]\nslots = 1\n'
    )
    actions = Actions(load_settings(str(data)))
    store, made = actions.store, []
    options: dict[str, Any] = {
        "name": of("name"), "context": of("context"), "env": {of("variable").replace("=", "≠"): of("value")},
        "callback_failed": {"type": "exec", "cmd": of("callback")}, "callback_done": {"type": "http", "url": f"http://127.0.0.1:9/?{quote(of('url'))}", "headers": {"X-A": "b"}},
    }  # fmt: skip
    held = actions.submit({"command": {"type": "exec", "cmd": of("command")}, "cwd": os.fspath(data), **options})
    made.append(held.id)
    made.append(actions.submit({"command": COMMAND, "name": of("waits"), "after": [held.id], "delay": 1e6}).id)
    commands = [
        {"type": "worker", "name": "TestWorker", "parameters": {of("parameter"): of("argument"), "count": 1}},
        {"type": "method", "class": of("class"), "method": of("method"), "params": {of("key"): [of("param")]}},
        {"type": "http", "url": f"http://127.0.0.1:9/{quote(of('path'))}", "headers": {"X-B": of("header")}, "body": of("body")},
        {"type": "approved", "name": of("approved"), "parameters": {of("key"): of("param")}},
        {"type": of("type"), "cmd": of("command")},
    ]  # fmt: skip
    titles = {name: options[name] for name in ("name", "context")}
    made += [store.create(Job(id="", status=IDLE, command=command, **titles)).id for command in commands]
    ended = store.create(Job(
        id="", status=ERROR, command={"type": "exec", "cmd": of("command")}, reason=of("reason"), context=of("context"), name=of("name"),
        cwd=of("cwd"), owner=of("owner"), attempt=2, retries=3, exit_code=1, started_at="2026-11-21T20:00:00.000Z", ended_at=of("ended"),
        attempts=[{"attempt": of("number"), "reason": of("why"), "started_at": of("time")}],
        callbacks=[{"callback": of("which"), "outcome": of("outcome"), "tries": of("tries"), "detail": of("detail")}],
    ))  # fmt: skip
    made.append(ended.id)
    for job_id in made:
        for path in (store.paths.out(job_id), store.paths.err(job_id), store.paths.response(job_id)):
            Path(path).write_text(f"{of('log')}\n{ESCAPES}\n{of('50%')} 5/10 [00:05<00:05]\r50%|█ | {of('bar')}\n")
        folder = Path(store.paths.results(job_id))
        folder.mkdir()
        for name in (of("file").replace("/", "∕")[:200], "<b>.png", "'\".html", "a\n<script>.txt", "\x1b[31m<i>.csv"):
            folder.joinpath(name).write_text(f"{of('content')},{of('cell')}\n")
        for name in ("a.json", "a.csv", "a.tsv", "a.html", "a.svg", "a.txt", "a.md"):
            folder.joinpath(name).write_text(f"{of('content')}\t{of('cell')}\n")
    store.note_error(of("error"))
    SavedCommands(store).keep(of("kept")[:100], {"command": {"type": "exec", "cmd": of("command")}, **options})
    (data / "workers").mkdir()
    (data / "workers" / "Bad.py").write_text(
        "from running_jobs import Worker\n\nTEXT = "
        + repr(of("said"))
        + "\n\nclass Bad(Worker):\n    def run(self): pass\n\n"
        "    def get_information(self):\n        return {'description': TEXT, 'parameters': [{'name': 'a', 'type': 'string', 'description': TEXT, "
        "'default': TEXT, 'choices': [TEXT, 'b']}, {'name': 'b', 'type': 'string', 'default': TEXT, 'description': TEXT}]}\n"
    )
    (data / "workers" / "Wrong.py").write_text(f"raise SystemError({of('raised')!r})\n")
    (data / f"{made[0]}0.json").write_text("not JSON " + of("record"))
    return made


def addresses(made: list[str]) -> list[str]:
    """Return the addresses of pages that show all of it."""
    found = [
        "/",
        "/?run=worker&of=Bad",
        "/?run=worker&of=Wrong",
        "/?run=worker&of=Bad&code=Bad",
        "/?run=class",
        "/?run=method&of=a.B",
    ]
    for job_id in made:  # of each kind of command; their logs and files are the same
        found += [f"/?job={job_id}", f"/?job={job_id}&tab=details", f"/?like={job_id}"]
    found += [f"/?job={made[0]}&tab={tab}" for tab in TABS]
    for job_id in (made[0], made[-1]):
        found += [f"/?job={job_id}&part=live", f"/jobs/{job_id}/view/out", f"/jobs/{job_id}/view/both"]
    names = ["a.json", "a.csv", "a.tsv", "a.html", "a.svg", "a.txt", "a.md", "<b>.png", "'\".html", bad("none")]
    found += [f"/?{urlencode({'job': made[0], 'tab': 'files', 'file': name})}" for name in names]
    parameters = ("status", "context", "q", "since", "until", "before", "job", "tab", "file", "files", "pictures", "at", "upto", "find",
                  "panes", "run", "of", "code", "like", "kept", "said", "counts", "seal", "part", bad("parameter"))  # fmt: skip
    found += [
        f"/?{urlencode({name: text})}"
        for name in parameters
        for text in (bad(name), f"javascript:{TAKEN}", "//evil.example/")
    ]
    found += [f"/?{urlencode({name: bad(name), 'job': made[0]})}" for name in parameters if name != "job"]
    return [
        *found,
        f"/?job={made[0]}&tab=log&find=script",
        f"/jobs/{made[0]}/view/out/find?find=script",
        "/logs/changes/view",
        "/logs/failures/view",
    ]


HTML = {"Accept": "text/html,application/xhtml+xml"}


def test_nothing_that_somebody_wrote_becomes_markup(data: Path) -> None:
    made = hostile(data)
    client = build_app(load_settings(str(data))).test_client()
    pages = 0
    for address in addresses(made):
        answer = client.get(address, headers=HTML)
        kind = answer.headers.get("Content-Type", "")
        assert answer.status_code < 500, address
        assert TAKEN not in str(answer.headers), address
        if kind.startswith("text/html"):
            assert wrong_on(answer.text) == [], address
            assert not EVALUATED.search(html.unescape(answer.text)), address
            pages += 1
        else:
            assert kind.startswith(("application/json", "text/plain")) or answer.status_code == 204, (address, kind)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert pages > 100
    whole = client.get(f"/?job={made[0]}").text
    assert "name&lt;/pre&gt;" in whole  # it is there, as text
    worker = client.get("/?run=worker&of=Bad").text
    assert worker.count("said&lt;/pre&gt;") >= 5
    assert wrong_on(bad("x"))  # and this is how it would be found otherwise
    for template, evaluated in (("{{7*7}}", "49"), ("${7*7}", "49"), ("${7*7}", "$49")):
        assert EVALUATED.search(bad("x").replace(template, evaluated))


def test_what_is_refused_is_repeated_as_text(data: Path) -> None:
    made = hostile(data)
    client = build_app(load_settings(str(data))).test_client()
    token = client.get("/").text.split('name="token" value="')[1].split('"')[0]
    fields = ("cmd", "name", "context", "priority", "delay", "at", "retries", "timeout", "cwd", "env", "after", "nice", "callback_done",
              "worker", "class", "method", "approved", "parameters", "params", "param.x", "keep_as", "back", "nope", "verb", "id", "code", "new")  # fmt: skip
    for path in (
        "/launch",
        "/saved",
        "/workers/save",
        "/selected",
        f"/jobs/{made[0]}/set",
        f"/jobs/{made[-1]}/start",
        "/saved/x/launch",
        "/saved/<b>/delete",
    ):
        for name in (
            fields if path in ("/launch", f"/jobs/{made[0]}/set") else ("cmd", "name", "back", "id", "keep_as", "code")
        ):
            for text in (bad(name), f"q={quote(bad(name))}&job={made[0]}") if name == "back" else (bad(name),):
                form = {"token": token, "cmd": "true", "hold": "1", "cwd": "/none", name: text}
                answer = client.post(path, data=form, headers=HTML)
                assert answer.status_code < 500, (path, name)
                if answer.headers["Content-Type"].startswith("text/html") and answer.status_code != 303:
                    assert wrong_on(answer.text) == [], (path, name)
    for address in (
        f"/{quote(bad('path'))}",
        f"/jobs/{quote(bad('id'))}",
        f"/workers/{quote(bad('worker'))}",
        f"/jobs/{made[0]}/files/{quote(bad('file'))}",
    ):
        for headers in (HTML, {}, {"Accept": "text/html"}, {"Accept": "image/svg+xml"}):
            for method in ("GET", "POST", "DELETE", "FOO"):
                answer = client.open(address, method=method, headers=headers)
                assert answer.status_code in (400, 404, 405)
                if answer.headers["Content-Type"].startswith("text/html"):
                    assert wrong_on(answer.text) == []
                else:
                    assert answer.headers["Content-Type"] == "application/json"


def test_a_result_is_nothing_that_the_page_could_be_made_to_run(data: Path) -> None:
    job_id = hostile(data)[0]
    folder = Path(JobStore(str(data)).paths.results(job_id))
    client = build_app(load_settings(str(data))).test_client()
    for name in (
        "page.html",
        "page.xhtml",
        "a.svg",
        "a.xml",
        "a.js",
        "a.mjs",
        "a.css",
        "a.swf",
        "a.pdf",
        "a.wasm",
        "a",
        "a.HTML",
        "a.html.",
        "a.htm\u200b",
    ):
        folder.joinpath(name).write_text(f"<script>{TAKEN}</script>")
        with client.get(f"/jobs/{job_id}/files/{quote(name)}") as answer:
            assert answer.status_code == 200
            assert answer.headers["Content-Disposition"].startswith("attachment;")
            assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Type"] in ("application/octet-stream", "image/svg+xml", "application/pdf")


def test_in_a_real_browser_nothing_of_it_runs_or_loads(
    data: Path, start_server: Any, tab: Any, listener: Listener
) -> None:
    made = hostile(data, listener.url)
    server: Server = start_server()
    shown = [f"/?job={made[0]}&tab={part}" for part in ("log", "files", "details", "response")]
    shown += [f"/?job={job_id}&tab=details" for job_id in (made[2], made[-1])]
    shown += [
        "/?run=worker&of=Bad&code=Bad",
        f"/?like={made[0]}",
        f"/?{urlencode({'q': bad('q', listener.url), 'said': bad('said')})}",
    ]
    shown += [
        f"/?{urlencode({'job': made[0], 'tab': 'files', 'file': name})}"
        for name in ("a.html", "a.svg", "a.csv", "a.json")
    ]
    shown += [f"/jobs/{made[0]}/out", f"/jobs/{made[0]}", f"/nope/{quote(bad('nope', listener.url))}"]
    taken_up = """
      document.querySelectorAll("details").forEach((fold) => { fold.open = true });
      return [document.title, document.querySelectorAll("[onerror],[onload],[onfocus],[onclick],base,iframe").length,
              [...document.querySelectorAll("a")].filter((a) => /^(javascript|data|vbscript|file):/.test(a.href)).length]
    """
    for address in shown:
        tab.get(server.url + address)
        wait_for(lambda: tab.execute_script("return document.readyState") == "complete", "the page")
        title, handlers, links = tab.execute_script(taken_up)
        assert "taken" not in title.split("<")[0].split("'")[0], address
        assert title != "taken", address
        assert (handlers, links) == (0, 0), address
    tab.get(f"{server.url}/?job={made[0]}&tab=log")
    Actions(load_settings(str(data))).add_log(made[0], bad("live", listener.url) + ESCAPES)
    wait_for(lambda: "live</pre>" in tab.find_element("id", "log").text, "what came live")
    assert tab.execute_script(taken_up)[1:] == [0, 0]
    assert tab.title != "taken"
    assert listener.asked == []
    for entry in tab.get_log("browser"):
        assert "Content Security Policy" not in entry["message"], entry  # it did not even come to that
