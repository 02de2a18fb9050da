"""What the dispatcher makes of Slurm's answers over time: against programs that answer what a test has them say."""

from __future__ import annotations

import contextlib
import json
import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from running_jobs import holdups, placements
from running_jobs.command_line import ENVIRONMENT
from running_jobs.executors import slurm_calls
from running_jobs.executors.slurm_when_needed import ALONE_S, SlurmWhenNeeded
from running_jobs.job import Job, JobStatus
from running_jobs.summaries import summarize

from .conftest import wait_for
from .fake_slurm import FakeSlurm, Submission, Turns

OOM = 'echo "$$|OUT_OF_MEMORY|OutOfMemory|main|n1|31744|$name|$comment|" >>rows'


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """Give a Slurm that takes each job, and knows none until it is told to."""
    return FakeSlurm(tmp_path / "slurm", monkeypatch)


@pytest.fixture
def make(slurm: FakeSlurm, tmp_path: Path) -> Callable[..., Turns]:
    """Give a function that makes an executor with settings."""
    return lambda text="[slurm]\n": Turns(str(tmp_path / "data"), text)


@pytest.fixture
def turns(make: Callable[..., Turns]) -> Turns:
    """Give an executor."""
    return make()


def submit(turns: Turns, slurm: FakeSlurm, **fields: Any) -> tuple[Job, Submission]:
    """Queue a job and have it handed over."""
    before = len(slurm.submissions)
    job = turns.queue(**fields)
    turns.go_until(lambda: len(slurm.submissions) > before)
    return job, slurm.submissions[-1]


# --- whose a row is


def test_a_running_job_whose_comment_somebody_changed_is_not_lost(turns: Turns, slurm: FakeSlurm) -> None:
    job, its = submit(turns, slurm, retries=1)
    slurm.say(its.row("RUNNING", node="n1"))
    turns.begin(job, its.slurm_id)
    turns.go(5)
    slurm.say(its.row("RUNNING", node="n1", comment="urgent"))
    turns.go(60)
    assert (turns.status(job), slurm.cancelled) == ("active", [])
    slurm.say(its.row("NODE_FAIL", node="n1", comment="urgent"))
    turns.go_until(lambda: turns.status(job) == "queued")
    assert turns.reason(job) == "attempt 1: lost: node n1 failed"


def test_a_job_whose_comment_the_site_replaces_is_handed_over_once(turns: Turns, slurm: FakeSlurm) -> None:
    slurm.put_sbatch('echo "$$|PENDING|Resources|main||0|$name|project=x|" >>rows')
    job, its = submit(turns, slurm)
    turns.go(120)
    assert len(slurm.submissions) == 1
    assert turns.told.jobs[job.id]["why"] == "Resources"
    turns.change(job, status=JobStatus.STOP)
    turns.executor.forget(job.id)
    turns.go(5)
    assert slurm.cancelled == [f"--state=PENDING {its.slurm_id}"]


def test_an_id_under_another_name_and_comment_is_not_ours(turns: Turns, slurm: FakeSlurm) -> None:
    job, its = submit(turns, slurm, retries=1)
    turns.begin(job, its.slurm_id)
    slurm.say(its.row("RUNNING", node="n1", name="somebody's", comment="(null)"))  # after a crash of the controller
    turns.go_until(lambda: turns.status(job) == "queued")
    assert turns.reason(job) == "attempt 1: lost: Slurm knows nothing of it any more"


def test_what_slurm_forgets_again_and_again_is_handed_over_ever_more_seldom(turns: Turns, slurm: FakeSlurm) -> None:
    turns.queue()
    turns.go(300)
    assert 4 <= len(slurm.submissions) <= 12


def test_an_old_cancelled_submission_says_nothing_of_the_one_on_its_way(turns: Turns, slurm: FakeSlurm) -> None:
    job, before = submit(turns, slurm)
    slurm.say(before.row("PENDING"))
    turns.go(5)
    turns.executor.want(turns.change(job, cpus=2))
    turns.go_until(lambda: slurm.cancelled)
    slurm.say(before.row("CANCELLED"))
    turns = turns.again()
    turns.executor.want(turns.change(job, cpus=None))  # it has the key of the first again
    slurm.put_sbatch("until [ -e go ]; do sleep 0.01; done")
    turns.blocked = {"sbatch"}
    turns.go(20)
    wait_for(lambda: len(slurm.submissions) == 3)
    assert turns.status(job) == "queued"
    (slurm.folder / "go").touch()
    turns.blocked = set()
    slurm.say(before.row("CANCELLED"), slurm.submissions[-1].row("PENDING", "Priority"))
    turns.go_until(lambda: turns.told.jobs[job.id].get("why") == "Priority")
    assert turns.status(job) == "queued"


def test_a_scancel_while_no_dispatcher_lives_holds(turns: Turns, slurm: FakeSlurm) -> None:
    job, its = submit(turns, slurm)
    turns = turns.again()
    slurm.say(its.row("CANCELLED"))
    turns.executor.want(turns.store.get(job.id))
    turns.go_until(lambda: turns.status(job) == "stop")
    assert turns.reason(job) == "cancelled in Slurm (scancel) before it started"
    assert len(slurm.submissions) == 1


def test_a_duplicate_that_was_cancelled_beside_another_is_no_scancel(turns: Turns, slurm: FakeSlurm) -> None:
    job, its = submit(turns, slurm)
    other = its._replace(slurm_id=str(int(its.slurm_id) - 1), comment=f"{its.comment[:-8]}00000000")
    turns = turns.again()
    slurm.say(other.row("FAILED", node="n1", status=75 << 8), its.row("CANCELLED"))
    turns.executor.want(turns.store.get(job.id))
    turns.go_until(lambda: len(slurm.submissions) == 2)
    assert turns.status(job) == "queued"


def test_a_cancelling_of_our_own_while_a_job_was_changed_is_no_scancel(turns: Turns, slurm: FakeSlurm) -> None:
    job, its = submit(turns, slurm)
    turns = turns.again()
    slurm.say(its.row("CANCELLED"))
    turns.executor.want(turns.change(job, name="changed, perhaps there and back"))
    turns.go_until(lambda: len(slurm.submissions) == 2)
    turns.go(3)
    assert turns.status(job) == "queued"


def test_what_a_dispatcher_before_handed_over_is_followed(turns: Turns, slurm: FakeSlurm) -> None:
    job, its = submit(turns, slurm)
    for comment in (its.comment, its.comment.rpartition("/")[0]):  # as versions wrote it that knew no nonces
        turns = turns.again()
        slurm.say(its.row("PENDING", "Resources", comment=comment))
        turns.executor.want(turns.store.get(job.id))
        turns.go(20)
        assert (len(slurm.submissions), turns.told.jobs[job.id]["id"]) == (1, its.slurm_id)


def test_of_two_that_run_before_the_claim_is_seen_none_is_cancelled(turns: Turns, slurm: FakeSlurm) -> None:
    job, its = submit(turns, slurm)
    again = its._replace(slurm_id=str(int(its.slurm_id) + 1))
    slurm.say(its.row("RUNNING", node="n1"), again.row("RUNNING", node="n2"))
    turns.go(20)
    assert slurm.cancelled == []
    turns.begin(job, its.slurm_id)
    turns.go(90)
    assert set(slurm.cancelled) == {again.slurm_id}


def test_a_job_changed_there_and_back_while_sbatch_is_at_it_is_not_taken_for_cancelled(
    turns: Turns, slurm: FakeSlurm
) -> None:
    slurm.put_sbatch(after="until [ -e go ]; do sleep 0.01; done")
    turns.blocked = {"sbatch"}
    job = turns.queue()
    turns.go(3)
    (its,) = wait_for(lambda: slurm.submissions)
    slurm.say(its.row("PENDING", "Priority"))
    turns.is_held = True
    for cpus in (2, None):
        turns.executor.want(turns.change(job, cpus=cpus))
    turns.go(5)
    (slurm.folder / "go").touch()
    turns.blocked = set()
    turns.take_answers()
    turns.go(10)
    assert slurm.cancelled == []
    assert (turns.status(job), turns.told.jobs[job.id]["why"]) == ("queued", "Priority")


# --- starts that fail


@pytest.mark.parametrize(("state", "status"), [
    ("OUT_OF_MEMORY", 9), ("TIMEOUT", 15), ("BOOT_FAIL", 0), ("FAILED", 127 << 8), ("COMPLETED", 0), ("DEADLINE", 0),
])  # fmt: skip
def test_a_start_that_fails_again_and_again_is_an_error(
    turns: Turns, slurm: FakeSlurm, state: str, status: int
) -> None:
    slurm.put_sbatch(f'echo "$$|{state}|None|main|n1|{status}|$name|$comment|" >>rows')
    job = turns.queue()
    turns.go_until(lambda: job.id in turns.told.jobs and turns.told.jobs[job.id]["state"] == "FAILED_START")
    text = holdups.in_slurm(turns.told, summarize(turns.store.get(job.id)), turns.settings, "")
    assert text.startswith(f"could not start and is tried again: its runner on n1 ended before it began ({state}")
    turns.go_until(lambda: turns.status(job) == "error")
    assert str(turns.reason(job)).startswith(f"could not start: its runner on n1 ended before it began ({state}")
    assert len(slurm.submissions) == 3


@pytest.mark.parametrize(("state", "status"), [("NODE_FAIL", 0), ("PREEMPTED", 15), ("FAILED", 75 << 8)])
def test_what_is_nobodys_fault_is_tried_for_ever(turns: Turns, slurm: FakeSlurm, state: str, status: int) -> None:
    slurm.put_sbatch(f'echo "$$|{state}|None|main|n1|{status}|$name|$comment|" >>rows')
    job = turns.queue()
    turns.go_until(lambda: len(slurm.submissions) == 5)
    assert turns.status(job) == "queued"


def test_starts_that_failed_before_a_dispatcher_was_replaced_count(turns: Turns, slurm: FakeSlurm) -> None:
    slurm.put_sbatch(OOM)
    job = turns.queue()
    turns.go_until(lambda: len(slurm.submissions) == 2)
    turns = turns.again()
    turns.executor.want(turns.store.get(job.id))
    turns.go_until(lambda: turns.status(job) == "error")
    assert len(slurm.submissions) == 3


def test_a_job_that_is_mended_is_tried_at_once_and_anew(turns: Turns, slurm: FakeSlurm) -> None:
    slurm.put_sbatch(f'case "$*" in *--mem=1M*) {OOM};; esac')
    job = turns.queue(mem="1M")
    turns.go_until(lambda: len(slurm.submissions) == 2 and job.id in turns.executor._wishes)
    turns.executor.want(turns.change(job, mem="1G"))
    turns.turn()
    assert len(slurm.submissions) == 3
    slurm.put_sbatch(OOM)
    turns.go_until(lambda: turns.status(job) == "error")
    assert len(slurm.submissions) >= 5


# --- what sbatch says


def test_what_sbatch_says_of_a_job_is_that_jobs_reason_alone(make: Callable[..., Turns], slurm: FakeSlurm) -> None:
    turns = make("[slurm]\nslots = 1\n")
    slurm.put_sbatch('case "$*" in *--cpus-per-task=9*) echo "sbatch: error: lua: no project" >&2; exit 1;; esac')
    first, second = turns.queue(priority=900, cpus=9), turns.queue()
    turns.go_until(lambda: turns.told.jobs.get(first.id, {}).get("state") == "NOT_TAKEN", 3)
    turns.go_until(lambda: len(slurm.submissions) == 2)
    its = slurm.submissions[-1]
    slurm.say(its.row("PENDING", "Resources"))
    assert its.job_id == second.id
    for _ in range(10):
        turns.go(3)
        texts = [
            holdups.in_slurm(turns.told, summarize(turns.store.get(job.id)), turns.settings, "")
            for job in (first, second)
        ]
        assert texts == ["Slurm does not take it for now: lua: no project", "waits for free resources"]
        assert len(turns.told.handed_over) == 1


def test_a_limit_is_the_reason_of_all(turns: Turns, slurm: FakeSlurm) -> None:
    slurm.refuse("QOSMaxSubmitJobPerUserLimit")
    jobs = [turns.queue() for _ in range(6)]
    turns.go_until(lambda: len(turns.told.jobs) == 6)
    assert {entry["why"] for entry in turns.told.jobs.values()} == {"QOSMaxSubmitJobPerUserLimit"}
    texts = {holdups.in_slurm(turns.told, summarize(turns.store.get(job.id)), turns.settings, "") for job in jobs}
    assert texts == {"held back by a limit of its QOS (QOSMaxSubmitJobPerUserLimit)"}
    assert turns.told.handed_over == []


def test_a_drained_partition_ends_no_job(turns: Turns, slurm: FakeSlurm) -> None:
    slurm.refuse("Batch job submission failed: Required partition not available (inactive or drain)")
    job = turns.queue()
    turns.go(20)
    assert turns.status(job) == "queued"
    slurm.put_sbatch()
    before = len(slurm.submissions)
    turns.go_until(lambda: len(slurm.submissions) > before)


@pytest.mark.parametrize("said", ["Socket timed out on send/recv operation", "lua: no project"])
def test_many_jobs_that_slurm_does_not_take_do_not_press_it(turns: Turns, slurm: FakeSlurm, said: str) -> None:
    slurm.refuse(f"Batch job submission failed: {said}")
    for _ in range(40):
        turns.queue()
    turns.go(45)
    assert 4 <= len(slurm.submissions) <= 28


def test_a_stale_context_does_not_count(make: Callable[..., Turns], slurm: FakeSlurm) -> None:
    turns = make("[slurm]\n[contexts.one]\nslots = 1\n[contexts.two]\nslots = 1\n")
    job, its = submit(turns, slurm, context="one")
    slurm.say(its.row("PENDING"))
    turns.executor.want(turns.change(job, context="two"))
    waiting, ready = turns.queue(context="two"), turns.queue(context="one")
    turns.go(10)
    assert {submission.job_id for submission in slurm.submissions} == {job.id, ready.id} != {waiting.id}


# --- what this machine refuses


def test_a_data_directory_of_any_name_is_handed_over(slurm: FakeSlurm, tmp_path: Path) -> None:
    turns = Turns(f"{tmp_path}/d\udcff")
    turns.queue()
    turns.go_until(lambda: slurm.submissions)
    (script,) = slurm.folder.glob("script.*")
    assert os.fsencode(turns.store.paths.data) in script.read_bytes()


def test_what_no_argument_can_hold_is_told(turns: Turns, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "BROKEN", "a\0b")  # as a name that the locale cannot say
    turns.queue()
    turns.go(5)
    assert "squeue could not be started: " in str(turns.told.problem)
    monkeypatch.delitem(ENVIRONMENT, "BROKEN")
    turns.go_until(lambda: slurm.submissions)


def test_programs_that_cannot_be_started_take_no_turn_for_themselves(turns: Turns, slurm: FakeSlurm) -> None:
    slurm.remove("sbatch")
    for _ in range(30):
        turns.queue()
    turns.go_until(lambda: turns.told.problem)
    assert turns.told.problem == "sbatch was not found"
    assert len(turns.executor._handed) == 0, "they were not submitted, that is certain"
    turns.go(30)
    slurm.put_sbatch()
    turns.go_until(lambda: len({submission.job_id for submission in slurm.submissions}) == 30)


def test_a_program_that_cannot_be_watched_is_ended(
    turns: Turns, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns.go(1)
    children = len(os.listdir("/proc/self/fd"))
    slurm.put_sbatch("sleep 100")

    def refuse(pid: int, flags: int = 0) -> int:
        raise OSError(23, "Too many open files in system")

    for _ in range(6):
        turns.queue()
    turns.go_until(lambda: turns.executor._is_known)
    with monkeypatch.context() as patch:
        patch.setattr(slurm_calls.os, "pidfd_open", refuse)
        turns.executor.look(turns.clock(), lambda: False)
        turns.executor.look(turns.clock(), lambda: False)
    assert "could not be watched: Too many open files in system" in str(turns.told.problem)
    assert len(os.listdir("/proc/self/fd")) <= children + 1  # and that of the lock
    assert not any("sbatch" in command_line_of(child) for child in psutil.Process().children(recursive=True))


def command_line_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):  # or it has ended, and nobody has waited for it yet
        return " ".join(process.cmdline())
    return ""


def test_an_answer_that_cannot_be_read_is_asked_for_again(
    turns: Turns, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bytes:
        raise MemoryError

    turns.queue()
    with monkeypatch.context() as patch:
        patch.setattr(slurm_calls.os, "pread", refuse)
        turns.go(5)
    assert turns.told.problem == "squeue said what is no list of jobs: ''"
    turns.go_until(lambda: slurm.submissions)


def test_a_folder_in_place_of_the_lock_is_cleared_away(turns: Turns, slurm: FakeSlurm) -> None:
    os.mkdir(turns.store.paths.slurm_lock)
    Path(turns.store.paths.slurm_lock, "file").touch()
    turns.queue()
    turns.go_until(lambda: slurm.submissions)


def test_why_the_lock_cannot_be_had_is_told(turns: Turns, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    turns.queue()
    with monkeypatch.context() as patch:
        patch.setattr(slurm_calls.files, "open_private", refuse)
        turns.go(10)
    assert turns.told.problem == f"{turns.store.paths.slurm_lock} could not be opened: Permission denied"


def test_nothing_is_handed_over_before_nodes_know_the_settings(make: Callable[..., Turns], slurm: FakeSlurm) -> None:
    turns = make('[slurm]\npartition = "old"\n')
    turns.go(1)
    job = turns.queue()
    turns.go_until(lambda: slurm.submissions)
    rubbish = f"{turns.store.paths.run}/.for_nodes.json.new"
    os.mkdir(rubbish)
    turns = turns.again('[slurm]\npartition = "new"\n')
    turns.executor.want(turns.store.get(job.id))
    turns.go(60)
    assert len(slurm.submissions) == 1
    assert "what runners on nodes are to know could not be written" in str(turns.told.problem)
    assert Path(turns.store.paths.errors).read_text().count("could not be written") == 1
    os.rmdir(rubbish)
    turns.go_until(lambda: len(slurm.submissions) == 2)
    assert json.loads(Path(turns.store.paths.for_nodes).read_text())["slurm"]["partition"] == "new"


def test_nodes_know_the_settings_of_a_new_dispatcher_before_slurm_answers(turns: Turns, slurm: FakeSlurm) -> None:
    job, _ = submit(turns, slurm)
    slurm.be_away()
    turns = turns.again("grace_seconds = 77\n[slurm]\n")
    turns.executor.want(turns.store.get(job.id))
    turns.turn()
    assert json.loads(Path(turns.store.paths.for_nodes).read_text())["grace_seconds"] == 77


def test_what_nodes_are_to_know_is_written_again_where_it_was_removed(turns: Turns, slurm: FakeSlurm) -> None:
    turns.queue()
    turns.go_until(lambda: slurm.submissions)
    turns.go(60)
    os.unlink(turns.store.paths.for_nodes)
    before, job = len(slurm.submissions), turns.queue()
    turns.go_until(lambda: slurm.submissions[before:] and slurm.submissions[-1].job_id == job.id, 5)
    assert os.path.exists(turns.store.paths.for_nodes)


def test_a_long_log_of_nodes_is_put_aside(make: Callable[..., Turns], slurm: FakeSlurm) -> None:
    turns = make("rotate_bytes = 1000\n[slurm]\n")
    log = Path(turns.store.paths.slurm_log)
    log.write_bytes(b"x" * 2000)
    turns.queue()
    turns.go_until(lambda: slurm.submissions)
    (aside,) = log.parent.glob("slurm.log.*")
    assert (aside.stat().st_size, log.stat().st_size) == (2000, 0)


@pytest.mark.parametrize("error", [OSError(116, "Stale file handle"), OSError(24, "Too many open files")])
def test_a_job_that_cannot_be_read_once_is_not_forgotten(
    turns: Turns, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    slurm.put_sbatch('echo "$$|FAILED|None|main|n1|19200|$name|$comment|" >>rows')
    job = turns.queue()
    turns.go_until(lambda: turns.executor._wishes._put_off._until)
    get, failed = turns.store.get, []

    def fail_once(job_id: str) -> Job:
        if not failed:
            failed.append(job_id)
            raise error
        return get(job_id)

    monkeypatch.setattr(turns.store, "get", fail_once)
    turns.go_until(lambda: len(slurm.submissions) == 3)
    assert failed == [job.id]


# --- how often, and what is told


def test_a_job_that_is_put_off_keeps_nobody_awake(turns: Turns, slurm: FakeSlurm) -> None:
    slurm.put_sbatch('echo "$$|FAILED|None|main|n1|19200|$name|$comment|" >>rows')
    turns.queue()
    turns.go_until(lambda: len(slurm.submissions) == 3)
    turns.go_until(lambda: turns.executor._wishes._put_off._until)
    slurm.be_away()
    turns.go(20)
    assert turns.go(100) <= 110


def test_a_job_that_is_put_off_while_others_are_handed_over_keeps_nobody_awake(turns: Turns, slurm: FakeSlurm) -> None:
    slurm.put_sbatch('echo "$$|FAILED|None|main|n1|19200|$name|$comment|" >>rows')
    turns.queue()
    turns.go_until(lambda: len(slurm.submissions) == 2 and turns.executor._wishes._put_off._until)
    slurm.put_sbatch("until [ -e go ]; do sleep 0.01; done")
    for _ in range(4):
        turns.queue(priority=900)
    turns.blocked = {"sbatch"}
    turns.go(5)
    assert turns.go(10) <= 20
    (slurm.folder / "go").touch()
    turns.blocked = set()
    turns.take_answers()


def test_when_slurm_answered_last_is_kept_current(turns: Turns, slurm: FakeSlurm) -> None:
    _, its = submit(turns, slurm)
    slurm.say(its.row("PENDING", "Resources"))
    for _ in range(10):
        before = turns.told.at
        turns.go(60)
        assert str(turns.told.at) > str(before)


def test_what_is_told_is_written_no_more_often_than_need_be_and_where_it_is_missing(
    turns: Turns, slurm: FakeSlurm
) -> None:
    _, its = submit(turns, slurm)
    slurm.say(its.row("PENDING", "Resources"))
    turns.go(5)
    asked, before = slurm.asked, placements.version(turns.store.paths)
    turns.go(10)
    assert slurm.asked > asked
    assert placements.version(turns.store.paths) == before
    os.unlink(turns.store.paths.slurm)
    asked = slurm.asked
    turns.go_until(lambda: slurm.asked > asked)
    assert turns.told.jobs


def test_what_could_not_be_written_is_written_the_next_time(turns: Turns, slurm: FakeSlurm) -> None:
    job, its = submit(turns, slurm)
    turns.go(3)
    os.mkdir(f"{turns.store.paths.run}/.slurm.json.new")
    slurm.say(its.row("PENDING", "Resources"))
    turns.go(5)
    assert turns.told.jobs[job.id]["why"] == ""
    os.rmdir(f"{turns.store.paths.run}/.slurm.json.new")
    turns.go(6)
    assert turns.told.jobs[job.id]["why"] == "Resources"


def test_what_waits_in_a_slurm_that_was_taken_out_is_cancelled_with_its_job(turns: Turns, slurm: FakeSlurm) -> None:
    job, its = submit(turns, slurm)
    slurm.say(its.row("PENDING", "Resources"))
    turns = turns.again("slots = 2\n")
    turns.executor.want(turns.store.get(job.id))
    turns.go(20)
    assert slurm.cancelled == []
    turns.change(job, status=JobStatus.STOP)
    turns.executor.forget(job.id)
    turns.go(10)
    assert set(slurm.cancelled) == {f"--state=PENDING {its.slurm_id}"}
    slurm.say(its.row("CANCELLED"))
    turns.go(60)
    assert len(turns.executor) == 0


def test_a_slurm_that_was_removed_is_not_waited_for_for_ever(turns: Turns, slurm: FakeSlurm) -> None:
    job, _ = submit(turns, slurm)
    slurm.be_away()
    turns.change(job, status=JobStatus.STOP)
    turns.executor.forget(job.id)
    turns.go(600)
    assert len(turns.executor) > 0
    turns.go(3600)
    assert len(turns.executor) == 0


# --- what goes wrong on our side


def test_an_id_that_somebody_edited_ends_nothing(turns: Turns, slurm: FakeSlurm) -> None:
    job, its = submit(turns, slurm)
    slurm.say(its.row("RUNNING", node="n1"))
    turns = turns.again()
    turns.begin(job, its.slurm_id)
    edited = turns.change(job, placed={"attempt": 1, "id": 7}, asked={"verb": "kill", "by": "ann"})
    turns.executor.watch(edited, turns.clock())
    turns.go(60)
    assert turns.status(job) == "active"
    assert slurm.cancelled[-1] == its.slurm_id


def test_one_job_that_cannot_be_settled_holds_up_no_other(
    turns: Turns, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, its), (other, others) = submit(turns, slurm), submit(turns, slurm)
    turns.begin(one, its.slurm_id)
    turns.begin(other, others.slurm_id)
    turns.change(one, placed={"id": its.slurm_id, "signal": "nine"})
    slurm.say(its.row("NODE_FAIL", node="n1"), others.row("NODE_FAIL", node="n1"))
    update = turns.store.update

    def fail(job_id: str, *arguments: Any) -> Any:
        if job_id == one.id:
            raise TypeError("what nobody thought of")
        return update(job_id, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(turns.store, "update", fail)
        turns.go(120)
    assert (turns.status(one), turns.status(other)) == ("active", "error")
    assert Path(turns.store.paths.errors).read_text().count("could not be recorded") == 1
    turns.go(60)
    assert (turns.status(one), turns.store.get(one.id).signal) == ("error", None)  # and what is no signal is none


@pytest.fixture
def guarded(slurm: FakeSlurm, turns: Turns) -> Iterator[SlurmWhenNeeded]:
    """Give what a dispatcher has of Slurm, with a job to hand over."""
    needed = SlurmWhenNeeded(turns.store, turns.settings, select.poll())
    needed.want(turns.queue())
    yield needed


def test_a_fault_of_our_own_is_noted_once_and_costs_no_others(
    guarded: SlurmWhenNeeded, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, now = guarded._needed(), turns.clock()

    def fail(*_: object) -> None:
        raise RuntimeError("what nobody thought of")

    for name in ("look", "ended", "seconds_to_next", "forget"):
        monkeypatch.setattr(inner, name, fail)
    guarded.look(0.0, lambda: False)
    assert 0 < (guarded.seconds_to_next(guarded._again_at - 1) or 0) <= 1.0
    for _ in range(3):
        guarded._again_at = 0.0
        guarded.look(now, lambda: False)
    assert Path(turns.store.paths.errors).read_text().count("Slurm's jobs are left alone") == 1
    assert "what nobody thought of" in str(turns.told.problem)
    guarded._again_at = 0.0
    assert guarded.ended(99)
    assert guarded.seconds_to_next(guarded._again_at) == ALONE_S
    guarded.forget("20261122-101112-000001")


def test_slurm_is_left_alone_for_a_while_after_a_fault(
    guarded: SlurmWhenNeeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, looks = guarded._needed(), []

    def fail(now: float, _: object) -> None:
        looks.append(now)
        raise RuntimeError("a fault")

    monkeypatch.setattr(inner, "look", fail)
    guarded.look(0.0, lambda: False)
    at = guarded._again_at
    for now in (at - ALONE_S, at - 1, at):
        guarded.look(now, lambda: False)
    assert looks == [0.0, at]
