"""Jobs for Slurm as they are asked for on every face: which options are taken, and where. Nothing is submitted here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from running_jobs import placements, run_background_job, spec
from running_jobs.actions import Actions
from running_jobs.errors import InvalidJob, NotAllowed
from running_jobs.job import ACTIVE, DONE, IDLE, Job
from running_jobs.placements import Told
from running_jobs.slurm_options import CHECKS

from .conftest import LocalClient

TRUE = {"command": {"type": "exec", "cmd": "true"}}
GIVEN = {
    "partition": "main", "account": "physics", "qos": "long", "cpus": 4, "mem": "8G", "gpus": "a100:1", "time": "1-12:00",
    "slurm_args": ["--nodes=1", "--constraint=a|b"],
}  # fmt: skip


@pytest.fixture
def slurm(configure: Callable[..., Actions]) -> Iterator[Actions]:
    """Give the verbs where Slurm is set up, and nothing starts."""
    actions = configure('slots = 4\n[slurm]\npartition = "usual"\n')
    actions.store.prepare()
    actions.pause(True)
    return actions


def of_slurm(job: Job) -> dict[str, Any]:
    return {name: value for name, value in job.to_dict().items() if name in CHECKS}


def test_what_a_job_asks_of_slurm_is_kept_as_it_was_given(slurm: Actions) -> None:
    job = slurm.submit({**TRUE, "executor": "slurm", **GIVEN, "start": True})
    found = slurm.store.get(job.id)
    assert (found.executor, of_slurm(found)) == ("slurm", GIVEN)
    assert set(GIVEN) == set(CHECKS)
    plain = slurm.submit({**TRUE, "executor": "slurm", "gpus": 2, "partition": None})
    assert of_slurm(slurm.store.get(plain.id)) == {"gpus": "2"}, "what the settings say is theirs to change"


def test_who_runs_a_job_that_does_not_say_is_in_the_settings(slurm: Actions, configure: Callable[..., Actions]) -> None:
    assert slurm.submit(TRUE).executor == "local"
    by_default = configure('executor = "slurm"\n')
    assert by_default.submit(TRUE).executor == "slurm"
    assert by_default.submit({**TRUE, "executor": None}).executor == "slurm"
    assert by_default.submit({**TRUE, "executor": "local"}).executor == "local"
    assert by_default.submit({**TRUE, "cpus": 2}).cpus == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"executor": "moon"}, 'executor: expected "local" or "slurm"'),
        ({"cpus": 2}, 'cpus: is for jobs that Slurm runs; give executor "slurm", too'),
        ({"executor": "local", "mem": "1G"}, "mem: is for jobs that Slurm runs"),
        ({"executor": "slurm", "mem": "much"}, "mem: expected"),
        ({"executor": "slurm", "slurm_args": ["--array=1-9"]}, "slurm_args: '--array=1-9' cannot be given"),
        (
            {"executor": "slurm", "mem": "1G", "slurm_args": ["--mem-per-cpu=1G"]},
            "slurm_args: '--mem-per-cpu=1G' cannot be given together with mem; leave one out",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_stored(slurm: Actions, options: Any, said: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        slurm.submit({**TRUE, **options})
    assert str(caught.value).startswith(said)
    assert slurm.store.ids() == []


def test_where_slurm_is_not_set_up_it_is_refused_with_what_to_do(actions: Actions) -> None:
    with pytest.raises(InvalidJob, match=r"^executor: .* add a table \[slurm\] to config.toml"):
        actions.submit({**TRUE, "executor": "slurm"})
    with pytest.raises(InvalidJob, match=r"^partition: is for jobs that Slurm runs"):
        actions.submit({**TRUE, "partition": "main"})


def test_a_copy_asks_the_same_of_slurm(slurm: Actions) -> None:
    job = slurm.submit({**TRUE, "executor": "slurm", **GIVEN})
    copy = slurm.again(job.id)
    assert (copy.executor, of_slurm(copy)) == ("slurm", GIVEN)


def test_a_copy_of_a_job_that_somebody_else_ran_runs_here(slurm: Actions) -> None:
    job = slurm.store.create(Job(id="", status=DONE, command=TRUE["command"], executor="elsewhere", cwd="/"))
    assert slurm.again(job.id).executor == "local"


def test_copies_and_starts_look_at_the_settings_of_now(slurm: Actions, configure: Callable[..., Actions]) -> None:
    job = slurm.submit({**TRUE, "executor": "slurm"})
    without = configure("slots = 4\n")
    for verb in (without.again, without.start):
        with pytest.raises(InvalidJob, match=r"\[slurm\]"):
            verb(job.id)
    assert without.store.get(job.id).status == IDLE


def test_a_waiting_job_is_changed(slurm: Actions) -> None:
    job = slurm.submit({**TRUE, "executor": "slurm", **GIVEN})
    changed = slurm.edit(job.id, {"cpus": 8, "partition": None, "gpus": 1})
    assert of_slurm(changed) == {**{name: GIVEN[name] for name in GIVEN if name != "partition"}, "cpus": 8, "gpus": "1"}
    here = slurm.edit(job.id, {"executor": "local"})
    assert (here.executor, of_slurm(here), here.cpus) == ("local", {}, None)
    with pytest.raises(InvalidJob, match=r"^cpus: is for jobs that Slurm runs"):
        slurm.edit(job.id, {"cpus": 8})
    there = slurm.edit(job.id, {"executor": "slurm", "cpus": 8})
    assert (there.executor, of_slurm(there)) == ("slurm", {"cpus": 8})
    assert slurm.edit(job.id, {"executor": None}).executor == "local"
    assert slurm.edit(job.id, {"cpus": None, "priority": 7}).priority == 7


def test_a_waiting_job_is_not_changed_into_one_that_sbatch_refuses(slurm: Actions) -> None:
    job = slurm.submit({**TRUE, "executor": "slurm", "mem": "1G"})
    per_cpu = {"slurm_args": ["--mem-per-cpu=1G"]}
    with pytest.raises(InvalidJob, match=r"^slurm_args: .* together with mem"):
        slurm.edit(job.id, per_cpu)
    assert of_slurm(slurm.edit(job.id, {**per_cpu, "mem": None})) == per_cpu
    with pytest.raises(InvalidJob, match=r"^slurm_args: .* together with mem"):
        slurm.edit(job.id, {"mem": "2G"})


def test_a_job_is_not_changed_into_one_of_slurms_where_that_is_not_set_up(actions: Actions) -> None:
    job = actions.submit(TRUE)
    with pytest.raises(InvalidJob, match=r"^executor: "):
        actions.edit(job.id, {"executor": "slurm"})


def test_where_only_approved_commands_run_nobody_gives_further_arguments(configure: Callable[..., Actions]) -> None:
    before = configure("[slurm]\n").submit({**TRUE, "executor": "slurm", "slurm_args": ["--nodes=1"], "cwd": "~"})
    table = '[allowed_commands.greet]\ncommand = ["echo", "hello"]\n[slurm]\nargs = ["--exclusive"]\n'
    actions = configure(table)
    greet = {"command": {"type": "approved", "name": "greet"}, "executor": "slurm"}
    job = actions.submit({**greet, "cpus": 2, "partition": "main"})
    for refuse in (
        lambda: actions.submit({**greet, "slurm_args": ["--nodes=1"]}),
        lambda: actions.edit(job.id, {"slurm_args": ["--nodes=1"]}),
        lambda: actions.start(before.id),
        lambda: actions.again(before.id),
    ):
        with pytest.raises(NotAllowed):
            refuse()


# --- faces


TYPED = [
    "--executor=slurm", "--partition=main", "--account=physics", "--qos", "long", "--cpus=4", "--mem=8G",
    "--gpus=a100:1", "--time=1-12:00", "--slurm-arg=--nodes=1", "--slurm-arg", "--constraint=a|b",
]  # fmt: skip


@pytest.mark.parametrize("command", [["run", "true"], ["worker", "TestWorker", '{"count": 1, "sleep": 0}']])
def test_the_command_line_asks(slurm: Actions, app_here: Callable[..., SimpleNamespace], command: list[str]) -> None:
    done = app_here(command[0], *TYPED, *command[1:])
    assert (done.code, done.err) == (0, "")
    job = slurm.store.get(done.out.strip())
    assert (job.executor, of_slurm(job)) == ("slurm", GIVEN)


def test_the_command_line_changes(slurm: Actions, app_here: Callable[..., SimpleNamespace]) -> None:
    job = slurm.submit(TRUE)
    pairs = ["executor=slurm", "cpus=2", "mem= 1G ", "gpus=1", "time=90", "slurm_args=--nodes=2 --constraint='a b'"]
    assert app_here("set", job.id, *pairs).code == 0
    changed = {"cpus": 2, "mem": "1G", "gpus": "1", "time": "90", "slurm_args": ["--nodes=2", "--constraint=a b"]}
    assert of_slurm(slurm.store.get(job.id)) == changed
    assert app_here("set", job.id, "cpus=", "slurm_args=").code == 0
    assert of_slurm(slurm.store.get(job.id)).keys() == {"mem", "gpus", "time"}
    for pair, said in (("cpus=many", "whole number"), ("slurm_args='", "quotation"), ("slurm_args=[3", "JSON")):
        done = app_here("set", job.id, pair)
        assert (done.code, said in done.err) == (1, True), done.err


def test_python_asks(
    slurm: Actions, configure: Callable[..., Actions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "of_slurm.py").write_text("class Report:\n    def make(self):\n        pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    configure(f'python_path = ["{tmp_path}"]\nallowed_classes = ["of_slurm.Report"]\n[slurm]\n')
    job_id = run_background_job("of_slurm.Report", "make", executor="slurm", **{**GIVEN, "gpus": 2})
    assert of_slurm(slurm.store.get(job_id)) == {**GIVEN, "gpus": "2"}


def test_the_api_asks_and_tells(slurm: Actions, data: Path) -> None:
    client = LocalClient(data)
    made = client.post("/jobs", {**TRUE, "executor": "slurm", **GIVEN})
    [record] = made.json["data"]
    assert (made.code, record["executor"], {name: record[name] for name in GIVEN}) == (201, "slurm", GIVEN)
    [record] = client.request("PATCH", f"/jobs/{record['id']}", {"cpus": 9}).json["data"]
    assert record["cpus"] == 9
    refused = client.post("/jobs", {**TRUE, "cpus": 9})
    assert (refused.code, refused.json["message"].partition(":")[0]) == (400, "cpus")
    added = client.post("/jobs/add", {**TRUE, "executor": "slurm", "gpus": 1})
    assert (added.code, added.json["data"][0]["gpus"]) == (200, "1")
    assert "cpus" not in client.post("/jobs", TRUE).json["data"][0], "what is only for Slurm is not in other records"


def test_every_option_for_slurm_is_an_option_of_a_job() -> None:
    assert set(CHECKS) < set(spec.OPTIONS)
    assert set(CHECKS) < set(spec.AGAIN)
    assert json.dumps([*CHECKS]) == json.dumps([*GIVEN])


def test_the_command_line_tells_what_slurm_said(slurm: Actions, app_here: Callable[..., SimpleNamespace]) -> None:
    job = slurm.submit({**TRUE, "executor": "slurm", "start": True, "cpus": 99})
    slurm.store.create(Job(id="", status=ACTIVE, command=TRUE["command"], executor="slurm", attempt=1))
    assert "slurm" not in app_here("status").out
    entry = {"attempt": 1, "id": "12", "state": "PENDING", "why": "PartitionConfig", "partition": "main", "node": ""}
    told = Told("2026-11-21T20:39:15.123Z", None, None, {job.id: entry})
    placements.write(slurm.store.paths, told)
    said = "job 12 will never start as asked: asks for 99 CPUs (PartitionConfig)"
    assert said in app_here("show", job.id).out
    found = json.loads(app_here("status", "--json").out)
    assert (found["free_slots"], found["slurm"]["problem"], found["slurm"]["jobs"]) == (4, None, 1)
    placements.write(slurm.store.paths, told._replace(problem="timed out", since=told.at))
    assert "slurm       out of reach since 2026-11-21T20:39:15.123Z: timed out\n" in app_here("status").out


def test_the_command_line_says_of_a_job_that_waits_what_the_page_says(
    slurm: Actions, app_here: Callable[..., SimpleNamespace], configure: Callable[..., Actions], data: Path
) -> None:
    job = slurm.submit({**TRUE, "executor": "slurm", "start": True})
    entry = {"attempt": 1, "id": "", "state": "", "why": "", "partition": "main", "node": ""}

    def shown(**changes: Any) -> str:
        placements.write(slurm.store.paths, Told(None, None, None, {job.id: {**entry, **changes}}))
        lines = app_here("show", job.id).out.splitlines()
        return next((line[17:] for line in lines if line.startswith("slurm ")), "")

    def is_on_the_page(text: str) -> bool:
        return text in LocalClient(data).get(f"/?job={job.id}").text

    assert shown() == "held: paused"
    slurm.store.pause(False)
    assert shown() == "is about to be handed over to Slurm"
    assert is_on_the_page("is about to be handed over to Slurm")
    assert shown(id="1\x1b[2J", state="PENDING", why="Priority") == "job 1\\x1b[2J waits: others come first"
    assert shown(attempt=2) == "", "that is not the attempt which is to come"
    configure("slots = 4\n")
    assert shown(id="12", state="PENDING") == "Slurm is not set up here: change it to this machine, or stop it"
    placements.write(slurm.store.paths, Told())
    assert "Slurm is not set up here" in app_here("show", job.id).out
    slurm.stop(job.id)
    assert shown(id="12", state="PENDING") == ""
