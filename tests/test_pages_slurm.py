"""What the page shows of Slurm, from what the dispatcher noted of it: here that is written by hand."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from werkzeug.security import generate_password_hash

from running_jobs import placements
from running_jobs.actions import Actions
from running_jobs.job import ACTIVE, DONE, ERROR, IDLE, QUEUED, Job
from running_jobs.placements import Told
from running_jobs.processes import boot_id, own_start
from running_jobs.store import JobStore

from .conftest import LocalClient
from .forms import Forms

AT = "2026-11-21T20:39:15.123Z"
CMD = {"type": "exec", "cmd": "python train.py"}
SLURM = 'slots = 4\n[slurm]\nargs = ["--exclusive"]\n'


def entry(state: str = "PENDING", why: str = "Resources", attempt: int = 1, **more: str) -> dict[str, Any]:
    place = {"id": "12", "partition": "main", "node": "", **more}
    return {"attempt": attempt, "state": state, "why": why, **place}


@pytest.fixture
def store(configure: Callable[..., Actions]) -> JobStore:
    """Give the store of a data directory with Slurm set up, in which nothing starts."""
    found = configure(SLURM).store
    found.prepare()
    return found


@pytest.fixture
def tell(store: JobStore) -> Callable[..., None]:
    """Give a function that notes what Slurm said as the dispatcher does."""

    def write(jobs: dict[str, dict[str, Any]] | None = None, problem: str | None = None) -> None:
        placements.write(store.paths, Told(AT, problem, AT if problem else None, jobs or {}))

    return write


def add(store: JobStore, status: Any = QUEUED, **fields: Any) -> Job:
    return store.create(Job(id="", status=status, command=CMD, executor="slurm", cwd="/", **fields))


def text_of(part: str) -> str:
    return re.sub(r" (?=[:.,])", "", " ".join(html.unescape(re.sub(r"<[^>]+>", " ", part)).split()))


def row_of(page: str, job: Job) -> str:
    return text_of(page.split(f'data-key="{job.id}"')[1].split("</tr>")[0])


def head_of(page: str) -> str:
    return text_of(page.split('id="job-head"')[1].split("</nav>")[0])


def test_a_job_that_waits_in_slurm_says_why_and_under_which_id(
    store: JobStore, tell: Callable[..., None], data: Path
) -> None:
    first, second, third = add(store), add(store, cpus=99), add(store)
    tell({first.id: entry(), second.id: entry(why="PartitionConfig", id="13"), third.id: entry("", "", id="")})
    forms = Forms(data)
    page = forms.page()
    assert "Slurm 12 · partition main" in row_of(page, first)
    assert "waits for free resources" in row_of(page, first)
    never = "will never start as asked: asks for 99 CPUs, --exclusive (PartitionConfig)"
    assert never in row_of(page, second)
    assert "Slurm · partition main is about to be handed over to Slurm" in row_of(page, third), (
        "sbatch has not answered"
    )
    shown = head_of(forms.job(second))
    assert never in shown
    assert "Slurm 13 · partition main" in shown
    details = forms.job(second, "&tab=details")
    assert "<dt>slurm says</dt><dd>PENDING, PartitionConfig</dd>" in details
    assert "<dt>placed</dt><dd>Slurm 13, partition main</dd>" in details
    assert "<dt>cpus</dt><dd>99</dd>" in details


def test_a_job_that_runs_or_ran_there_says_where(store: JobStore, tell: Callable[..., None], data: Path) -> None:
    placed = {"attempt": 1, "id": "12", "partition": "main", "node": "n3"}
    runs = add(store, ACTIVE, placed=placed, attempt=1, started_at=AT)
    ran = add(
        store, DONE, placed={**placed, "id": "11", "node": "n2"}, attempt=1, started_at=AT, ended_at=AT, exit_code=0
    )
    tell({runs.id: entry("RUNNING", "None", node="n9")})
    forms = Forms(data)
    page = forms.page()
    assert "Slurm 12 · partition main · node n3" in row_of(page, runs), "the runner knows better than squeue"
    assert "Slurm 11 · partition main · node n2" in row_of(page, ran)
    assert "Slurm 12 · partition main · node n3" in head_of(forms.job(runs))
    assert "<dt>placed</dt><dd>Slurm 12, partition main, node n3</dd>" in forms.job(runs, "&tab=details")


def test_a_retry_tells_of_the_attempt_that_is_to_come(store: JobStore, tell: Callable[..., None], data: Path) -> None:
    placed = {"attempt": 1, "id": "12", "partition": "main", "node": "n3"}
    job = add(store, attempt=1, retries=2, placed=placed)
    tell({job.id: entry("NODE_FAIL", "None", node="n3")})
    forms = Forms(data)
    row = row_of(forms.page(), job)
    assert "attempt 1 of 3 Slurm is about to be handed over" in row, "what was said of the first attempt is over"
    assert "n3" not in row
    tell({job.id: entry(attempt=2, why="Priority", id="14")})
    row = row_of(forms.page(), job)
    assert "Slurm 14 · partition main" in row
    assert "waits: others come first" in row


def test_what_was_said_of_another_attempt_is_not_taken_for_this_one(
    store: JobStore, tell: Callable[..., None], data: Path
) -> None:
    job = add(store, attempt=1, retries=5)
    for attempt in (1, 3):
        tell({job.id: entry(attempt=attempt, why="Priority", id="14")})
        row = row_of(Forms(data).page(), job)
        assert "is about to be handed over" in row
        assert "14" not in row.replace(job.id, "")


def test_a_job_whose_slurm_was_taken_out_of_the_settings_says_so_and_can_be_changed_to_this_machine(
    store: JobStore, tell: Callable[..., None], data: Path, configure: Callable[..., Actions]
) -> None:
    plain, timed = add(store, partition="main"), add(store, not_before="2999-01-01T00:00:00.000Z")
    idle, ended = add(store, IDLE), add(store, DONE, attempt=1)
    tell({plain.id: entry()})
    configure("slots = 4\n")
    forms = Forms(data)
    said = "Slurm is not set up here: change it to this machine, or stop it"
    page = forms.page()
    assert [said in row_of(page, job) for job in (plain, timed, idle, ended)] == [True, True, False, False]
    shown = forms.job(plain)
    assert said in head_of(shown)
    assert 'name="partition"' not in shown
    assert "said=same" in forms.save(plain, {}).headers["Location"]
    assert "said=set" in forms.save(plain, {"executor": ""}).headers["Location"]
    assert (store.get(plain.id).executor, store.get(plain.id).partition) == ("local", None)
    assert 'id="set-executor"' not in forms.job(plain), "there is nothing to choose"
    assert said not in row_of(forms.page(), plain)


def test_a_job_that_was_not_handed_over_says_why(store: JobStore, data: Path) -> None:
    earlier = store.create(Job(id="", status=QUEUED, command=CMD, cwd="/", name="an earlier one"))
    plain, timed, after = add(store), add(store, not_before="2999-01-01T00:00:00.000Z"), add(store, after=[earlier.id])
    page = Forms(data).page()
    for job, said in ((plain, "is about to be handed over to Slurm"), (timed, "starts in "), (after, "waits for an")):
        assert said in row_of(page, job)


def test_nothing_is_drained_while_slurm_runs_something(store: JobStore, data: Path) -> None:
    Path(store.paths.paused).touch()
    assert "drained" in strip_of(Forms(data).page())
    add(store, ACTIVE, attempt=1)
    assert "drained" not in strip_of(Forms(data).page())
    assert LocalClient(data).get("/health").json["data"]["dispatcher"] == "missing", "somebody has to follow it"


def test_slots_of_this_machine_hold_up_nothing_of_slurms_and_are_not_taken_by_it(
    configure: Callable[..., Actions], tell: Callable[..., None], data: Path
) -> None:
    store = configure("slots = 1\n[contexts.few]\nslots = 1\n[slurm]\nslots = 1\n").store
    runs = add(store, ACTIVE, attempt=1, context="few")
    client = LocalClient(data)
    assert "<b>1</b> of 1 slots free" in client.get("/").text
    assert client.get("/jobs/status").json["data"] == {"waiting": 0, "working": 1, "max_threads": 1, "free_threads": 1}
    store.create(Job(id="", status=ACTIVE, command=CMD))
    waits, of_context = add(store), add(store, context="few")
    here = store.create(Job(id="", status=QUEUED, command=CMD, cwd="/"))
    page = client.get("/").text
    assert "<b>0</b> of 1 slots free" in page
    assert "is about to be handed over" in row_of(page, waits)
    assert "waits for a slot of its context" in row_of(page, of_context)
    assert "waits for a slot" in row_of(page, here)
    tell({runs.id: entry("RUNNING", "None")})
    assert "waits for a slot of Slurm's" in row_of(client.get("/").text, waits)


# --- Slurm is away


def strip_of(page: str) -> str:
    return text_of(page.split('id="strip"')[1].split("</div>")[0])


def test_a_controller_that_is_away_is_said_with_what_it_means(
    store: JobStore, tell: Callable[..., None], data: Path
) -> None:
    job = add(store)
    tell(problem="slurmctld does not answer: timed out <b>")
    page = Forms(data).page()
    assert (
        "Slurm is out of reach since 2026-11-21 20:39:15 UTC (slurmctld does not answer: timed out <b>). Jobs for it stay "
        "queued and go on when it is back; those that run there run on"
    ) in strip_of(page)
    assert 'role="status"' in page.split('data-key="slurm"')[1][:20]
    assert "waits until Slurm is back" in row_of(page, job)
    held_back = {job.id: {**entry("NOT_TAKEN"), "id": "", "why": "QOSMaxSubmitJobPerUserLimit"}}
    tell(held_back, problem="slurmctld does not answer")
    assert "waits until Slurm is back" in row_of(Forms(data).page(), job)
    tell()
    assert "out of reach" not in Forms(data).page()


def test_a_long_complaint_is_cut(store: JobStore, tell: Callable[..., None], data: Path) -> None:
    add(store)
    tell(problem="x" * 900)
    assert f"({'x' * 299}…). Jobs for it" in strip_of(Forms(data).page())


def test_nobody_is_bothered_with_it_who_does_not_wait_for_it(
    store: JobStore, tell: Callable[..., None], data: Path, configure: Callable[..., Actions]
) -> None:
    tell(problem="slurmctld does not answer")
    assert "out of reach" not in Forms(data).page(), "there is no job"
    store.create(Job(id="", status=QUEUED, command=CMD, cwd="/"))
    store.create(Job(id="", status=ACTIVE, command=CMD, cwd="/"))
    add(store, IDLE)
    forms, there = Forms(data), add(store)
    assert "out of reach" in forms.page()
    for status, is_told in ((ACTIVE, True), (QUEUED, True), (ACTIVE, True), (DONE, False)):
        store.update(there.id, lambda _, to=status: {"status": to}, "changed")
        assert ("out of reach" in forms.page()) is is_told, f"{status}, and others are this machine's"
    add(store)
    assert "out of reach" in forms.page()
    configure("slots = 4\n")
    assert "out of reach" not in Forms(data).page(), "Slurm is not set up any more"


@pytest.mark.parametrize("query", ["", "&job={id}"])
def test_a_page_that_is_open_hears_of_each_change(
    store: JobStore, tell: Callable[..., None], data: Path, query: str
) -> None:
    job = add(store)
    client = LocalClient(data)
    query = f"/?part=live{query.format(id=job.id)}"
    tell({job.id: entry()})
    first = client.get(query)
    assert client.get(query, headers={"If-None-Match": first.headers["ETag"]}).code == 304
    seen = [first.headers["ETag"]]
    for change in ({"jobs": {job.id: entry(why="Priority")}}, {"jobs": {job.id: entry()}, "problem": "away"}):
        tell(**change)
        answer = client.get(query, headers={"If-None-Match": seen[-1]})
        assert (answer.code, answer.headers["ETag"] in seen) == (200, False)
        seen.append(answer.headers["ETag"])
    assert "out of reach" in answer.text


def test_programs_are_told_too(store: JobStore, tell: Callable[..., None], data: Path) -> None:
    client = LocalClient(data)
    job = add(store)
    assert client.get("/health").json["data"]["slurm"] == "not asked yet"
    tell({job.id: entry(), "20200101-000000-000001": entry("RUNNING"), "20200101-000000-000002": entry("COMPLETING"),
          "20200101-000000-000003": entry("NOT_TAKEN")})  # fmt: skip
    assert client.get("/health").json["data"]["slurm"] == "answers"
    metrics = client.get("/metrics").text
    assert "running_jobs_slurm_up 1\n" in metrics
    for state in ("pending", "running", "(others)"):
        assert f'running_jobs_slurm_jobs{{state="{state}"}} 1\n' in metrics
    tell(problem="sbatch was not found")
    assert client.get("/health").json["data"]["slurm"] == "out of reach"
    assert "sbatch" not in client.get("/health").text, "whoever asks for the health needs no user"
    assert "running_jobs_slurm_up 0\n" in client.get("/metrics").text


def test_without_slurm_nothing_tells_of_it(actions: Actions, data: Path) -> None:
    actions.submit({"command": CMD}, cwd="/")
    client = LocalClient(data)
    for path in ("/", "/health", "/metrics"):
        assert "slurm" not in client.get(path).text.lower()


# --- what was noted may be anything


@pytest.mark.parametrize(
    "placed", [{}, {"id": 3, "node": [], "partition": None}, {"id": "<b>\x1b\u202e", "node": "x" * 5000}]
)
def test_a_damaged_place_does_no_harm(store: JobStore, data: Path, placed: Any) -> None:
    job = add(store, ERROR, attempt=1, placed=placed, slurm_args=["--x"])
    forms = Forms(data)
    for page in (forms.page(), forms.job(job, "&tab=details")):
        assert "Slurm" in row_of(page, job)
        assert "x" * 100 not in page
        assert "\x1b" not in page


def test_this_machines_processes_are_not_taken_for_those_of_a_node(store: JobStore, data: Path) -> None:
    mine = os.getpid()
    fields = {"attempt": 1, "pid": mine, "pid_started": own_start(), "boot_id": boot_id(), "started_at": AT}
    there = add(store, ACTIVE, **fields)
    here = store.create(Job(id="", status=ACTIVE, command=CMD, cwd="/", **fields))
    client = LocalClient(data)
    assert len(client.get(f"/jobs/{here.id}/stats").json["data"]) == 1
    assert client.get(f"/jobs/{there.id}/stats").json["data"] == []


def test_a_viewer_sees_where_jobs_are(configure: Callable[..., Actions], tell: Callable[..., None], data: Path) -> None:
    hashed = generate_password_hash("right", method="pbkdf2:sha256:1")
    store = configure(f'{SLURM}[users.eve]\nhash = "{hashed}"\nrole = "viewer"\n').store
    job = add(store)
    tell({job.id: entry()})
    page = Forms(data).client.get("/", auth=("eve", "right")).text
    assert "waits for free resources" in row_of(page, job)


# --- forms


ASKED = {
    "partition": "gpu", "account": "physics", "qos": "long", "cpus": 4, "mem": "8G", "gpus": "a100:1", "time": "1-12:00",
    "slurm_args": ["--nodes=1", "--constraint=a b"],
}  # fmt: skip
TYPED = {
    **{name: str(value) for name, value in ASKED.items()}, "slurm_args": "--nodes=1 '--constraint=a b'", "executor": "slurm",
}  # fmt: skip


def fields_of(page: str, form: str) -> dict[str, str]:
    """Return what the fields for Slurm of a form hold."""
    part = page.split(form)[1].split("</form>")[0]
    found = {}
    for name in TYPED:
        field = re.search(rf'<input id="[\w-]*{name}" name="{name}"[^>]* value="([^"]*)"', part)
        found[name] = html.unescape(field[1]) if field else ""
    chosen = re.search(r'<option value="(\w*)" selected>', part.split('name="executor"')[1])
    return {**found, "executor": chosen[1] if chosen else "?"}


def test_a_form_asks_for_all_that_slurm_can_be_asked_for(store: JobStore, data: Path) -> None:
    answer = Forms(data).post("/launch", {"cmd": "true", "hold": "1", **TYPED})
    assert answer.status_code == 303, answer.text
    job = store.get(store.ids()[-1])
    assert (job.executor, {name: getattr(job, name) for name in ASKED}) == ("slurm", ASKED)


def test_what_is_wrong_for_slurm_is_said_at_its_field(store: JobStore, data: Path) -> None:
    forms = Forms(data)
    for field, text, said in (
        ("cpus", "many", "whole number"),
        ("time", "soon", "minutes"),
        ("slurm_args", "-H", "be given"),
    ):
        answer = forms.post("/launch", {"cmd": "true", "executor": "slurm", field: text})
        assert answer.status_code == 400
        found = re.search(
            rf'name="{field}"[^>]*aria-invalid="true"[^>]*><span class="problem"[^>]*>([^<]*)<', answer.text
        )
        assert found and said in found[1], field
        assert f'value="{text}"' in answer.text
    assert 'class="options" open' in answer.text
    answer = forms.post("/launch", {"cmd": "true", "executor": "", "partition": "main"})
    assert re.search(r'name="partition"[^>]*aria-invalid="true"', answer.text), "it is not for a job of this machine"
    assert store.ids() == []


def test_a_job_of_slurms_fills_the_form(store: JobStore, data: Path, configure: Callable[..., Actions]) -> None:
    job = add(store, DONE, **ASKED)
    here = store.create(Job(id="", status=DONE, command=CMD, cwd="/"))
    assert fields_of(Forms(data).page(f"like={job.id}"), 'id="launch"') == TYPED
    assert set(fields_of(Forms(data).page(f"like={here.id}"), 'id="launch"').values()) == {""}
    configure(f'executor = "slurm"\n{SLURM}')
    assert fields_of(Forms(data).page(f"like={job.id}"), 'id="launch"') == {**TYPED, "executor": ""}
    assert fields_of(Forms(data).page(f"like={here.id}"), 'id="launch"')["executor"] == "local"
    configure("slots = 4\n")
    page = Forms(data).page(f"like={job.id}")
    assert "was for Slurm, which is not set up here any more" in page
    assert 'name="partition"' not in page


def test_a_kept_command_of_slurms_fills_the_form(
    store: JobStore, data: Path, configure: Callable[..., Actions]
) -> None:
    forms = Forms(data)
    for name, fields in (("there", TYPED), ("usual", {})):
        assert forms.post("/saved", {"cmd": "true", "keep_as": name, **fields}).status_code == 303
    there, usual = re.findall(r"kept=(\w+)", forms.page())
    assert fields_of(forms.page(f"kept={there}"), 'id="launch"') == TYPED
    configure(f'executor = "slurm"\n{SLURM}')
    assert fields_of(Forms(data).page(f"kept={usual}"), 'id="launch"')["executor"] == "", "who runs it is as usual"


def test_a_job_that_waits_is_changed_on_the_page(store: JobStore, data: Path) -> None:
    job = add(store, **ASKED)
    forms = Forms(data)
    assert fields_of(forms.job(job), 'id="change-form"') == TYPED
    assert "said=same" in forms.save(job, {}).headers["Location"]
    assert "said=set" in forms.save(job, {"cpus": "8", "gpus": ""}).headers["Location"]
    changed = store.get(job.id)
    assert (changed.cpus, changed.gpus, changed.slurm_args) == (8, None, ASKED["slurm_args"])
    assert forms.save(job, {"executor": ""}).status_code == 303
    assert (store.get(job.id).executor, store.get(job.id).partition) == ("local", None)
    refused = forms.save(job, {"cpus": "8"})
    assert (refused.status_code, 'id="set-cpus" name="cpus"' in refused.text) == (400, True)
    assert re.search(r'id="set-cpus"[^>]*aria-invalid="true"', refused.text)


def test_the_fields_tell_what_is_usual_and_are_there_only_with_slurm(
    data: Path, configure: Callable[..., Actions]
) -> None:
    assert "partition" not in Forms(data).page()
    configure('[slurm]\npartition = "main"\ncpus = 2\n')
    page = Forms(data).page()
    assert re.search(r'name="partition"[^>]* placeholder="main"', page)
    assert re.search(r'name="cpus"[^>]* placeholder="2"', page)
    configure('[slurm]\n[allowed_commands.greet]\ncommand = ["echo", "hello"]\n')
    page = Forms(data).page("run=approved&of=greet")
    assert 'name="partition"' in page
    assert 'name="slurm_args"' not in page
