"""What is submitted to Slurm, what its word means, and the runner of a node: without a Slurm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from running_jobs import files
from running_jobs.actions import Actions
from running_jobs.clocks import moment
from running_jobs.executors.slurm_calls import Answer
from running_jobs.executors.slurm_endings import end_of, reason_of, why_not_started
from running_jobs.executors.slurm_handed import Handed
from running_jobs.executors.slurm_queue import COMMAND, Key, Row, newest, rows_in
from running_jobs.executors.slurm_submission import command, id_in, is_limit, is_refusal, key_of, script
from running_jobs.job import Job, JobStatus
from running_jobs.paths import JobPaths
from running_jobs.settings import load_settings
from running_jobs.store import JobStore

from .conftest import PROJECT, dispatcher_of, wait_for, wait_for_status

ID = "20261122-101112-000001"
KEY = Key(ID, 1, "abcdef01")
HEAD = "JOBID|STATE|REASON|PARTITION|NODELIST|EXIT_CODE|NAME|COMMENT|"
NONCE = "0123456789abcdef"


def row(
    state: str = "RUNNING", slurm_id: str = "7", key: Key = KEY, status: int = 0, why: str = "", node: str = "n1",
    nonce: str = NONCE,
) -> Row:  # fmt: skip
    return Row(key, slurm_id, state, why, "main", node, status, nonce)


def job_of(**fields: object) -> Job:
    return Job(ID, JobStatus.ACTIVE, {"type": "exec", "cmd": "true"}, **{"executor": "slurm", "attempt": 1, **fields})


# --- what squeue says


def test_one_call_asks_for_all_jobs_and_their_states() -> None:
    assert COMMAND[:3] == ("squeue", "--me", "--states=all")


def test_rows_are_told_by_our_comment_and_what_is_not_ours_is_passed_over() -> None:
    text = "\n".join(
        [
            HEAD,
            f"12|PENDING|Resources|main||0|{ID}|{KEY.comment('cafe0001', NONCE)}|",
            f"13|RUNNING|None|gpu|n[1-2]|768|renamed|{ID}/2/00000000/cafe0001|",  # of a version without nonces
            f"14|RUNNING|None|main|n1|0|{ID}|{ID}/1/abcdef01/another1/{NONCE}|",
            "15|RUNNING|None|main|n1|0|sbatch|(null)|",
            "16|RUNNING|None|main|n1|0|sbatch|x/y/z/cafe0001|",
            "17|RUNNING|None|main|n1|0|a|b|c|",
            "slurm_load_jobs error: nonsense",
            "",
        ]
    )
    waiting, running = rows_in(text, "cafe0001") or []
    assert waiting == Row(KEY, "12", "PENDING", "Resources", "main", "", 0, NONCE)
    assert (waiting.is_waiting, waiting.is_over, waiting.is_told_by_comment) == (True, False, True)
    assert running == Row(Key(ID, 2, "00000000"), "13", "RUNNING", "", "gpu", "n[1-2]", 768, "")
    assert running.ended_with(3)


def test_a_row_under_another_comment_is_told_by_its_name() -> None:
    (found,) = rows_in(f"{HEAD}\n12|RUNNING|None|main|n1|0|{ID}|urgent|", "cafe0001") or []
    assert (found.key.job_id, found.is_told_by_comment) == (ID, False)
    assert Handed(1, KEY.form, "default", 0.0, slurm_id="12").row_among([found]) == found
    assert Handed(1, KEY.form, "default", 0.0, slurm_id="13").row_among([found]) is None
    assert Handed(1, KEY.form, "default", 0.0, nonce=NONCE).row_among([found]) is None


@pytest.mark.parametrize("text", ["", "\n", "5", "Welcome to the cluster\n" + HEAD, "slurm_load_jobs error", HEAD[:-9]])
def test_what_does_not_begin_as_an_answer_is_none(text: str) -> None:
    assert rows_in(text, "cafe0001") is None


def test_an_answer_without_jobs_is_one() -> None:
    assert rows_in(f"{HEAD}\n", "cafe0001") == []


def test_of_several_one_that_lives_counts_and_then_the_last() -> None:
    assert newest([row("CANCELLED", "9"), row("PENDING", "8"), row("PENDING", "5")]) == row("PENDING", "8")
    assert newest([row("CANCELLED", "9"), row("FAILED", "10")]) == row("FAILED", "10")
    assert newest([]) is None


def test_another_submission_of_the_same_is_not_ours() -> None:
    before = row("CANCELLED", "5", nonce="another")
    assert Handed(1, KEY.form, "default", 0.0, nonce=NONCE).row_among([before]) is None
    assert Handed(1, KEY.form, "default", 0.0, nonce=NONCE).row_among([before, row()]) == row()


def test_an_id_that_was_given_out_again_is_not_ours() -> None:
    handed = Handed(2, KEY.form, "default", 0.0, slurm_id="7")
    assert handed.row_among([row(slurm_id="7")]) is None  # of the first attempt
    assert handed.row_among([row(slurm_id="8", key=KEY._replace(attempt=2))]) is None  # another id
    assert handed.row_among([row(slurm_id="7", key=KEY._replace(attempt=2, form="f"))]) is not None


def test_only_answers_asked_for_after_the_submission_say_that_slurm_does_not_know_a_job() -> None:
    handed = Handed(1, KEY.form, "default", since=100.0)
    assert [handed.seems_over(None, asked_at) for asked_at in (98.0, 99.0, 101.0)] == [False] * 3
    assert handed.seems_over(None, 103.0)
    assert not handed.seems_over(row(), 105.0)
    assert not handed.seems_over(None, 107.0)


@pytest.mark.parametrize(("state", "active", "over"), [
    ("COMPLETING", True, False), ("RUNNING", True, False), ("PENDING", False, False), ("PENDING", True, True),
    ("SUSPENDED", True, False), ("NODE_FAIL", True, True), ("COMPLETED", False, True),
])  # fmt: skip
def test_when_an_attempt_is_over(state: str, active: bool, over: bool) -> None:
    handed = Handed(1, KEY.form, "default", 0.0, is_active=active)
    assert handed.seems_over(row(state), 1.0) is over


# --- what became of an attempt without a written end


@pytest.mark.parametrize(("found", "reason"), [
    (row("NODE_FAIL"), "lost: node n1 failed"),
    (row("BOOT_FAIL"), "lost: node n1 did not start"),
    (row("PREEMPTED"), "preempted: Slurm gave its place to another job"),
    (row("OUT_OF_MEMORY"), "out of memory: it used more than Slurm gave it"),
    (row("TIMEOUT"), "reached Slurm's time limit"),
    (row("CANCELLED"), "cancelled in Slurm (scancel)"),
    (row("PENDING"), "lost: it was requeued in Slurm"),
    (row("FAILED", status=9, why="JobLaunchFailure"),
     "lost: its runner on n1 ended without a word (FAILED, JobLaunchFailure, killed by SIGKILL; out of memory?)"),
    (row("COMPLETED", status=0, node=""), "lost: its runner on a node ended without a word (COMPLETED, exit code 0)"),
    (None, "lost: Slurm knows nothing of it any more"),
])  # fmt: skip
def test_each_end_has_its_reason(found: Row | None, reason: str) -> None:
    assert reason_of(found) == reason
    wanted = "stop" if found is not None and found.state == "CANCELLED" else "error"
    end = end_of(job_of(attempts=[{"attempt": 1}]), found, moment())
    assert (end["status"], end["reason"], end["attempts"][0]["reason"]) == (wanted, reason, reason)
    again = end_of(job_of(retries=1, attempts=[{"attempt": 1}]), found, moment())
    assert again["status"] == ("stop" if wanted == "stop" else "queued")


def test_what_was_asked_for_here_is_no_cancelling_outside() -> None:
    asked = job_of(retries=3, asked={"verb": "kill", "by": "ann"}, attempts=[{"attempt": 1}])
    end = end_of(asked, row("CANCELLED"), moment())
    assert (end["status"], end["reason"]) == ("stop", "killed by ann (by Slurm)")


def test_a_batch_script_that_failed_says_where_and_how() -> None:
    assert why_not_started(row("FAILED", status=127 << 8)) == (
        "its runner on n1 ended before it began (FAILED, exit code 127); see logs/slurm.log"
    )


# --- what is submitted


@pytest.mark.parametrize("problem", [
    "Unable to contact slurm controller (connect failure)", "Socket timed out on send/recv operation",
    "Unable to process configuration file", "Batch job submission failed: Invalid authentication credential",
    "Batch job submission failed: I/O error writing script/environment to file", "Zero Bytes were transmitted",
    "Batch job submission failed: Required partition not available (inactive or drain)",
    "Batch job submission failed: Requested partition configuration not available now",
])  # fmt: skip
def test_what_passes_is_no_refusal(problem: str) -> None:
    assert not is_refusal(Answer(1, "", problem))
    assert not is_limit(problem)


@pytest.mark.parametrize("problem", [
    "Batch job submission failed: Job violates accounting/QOS policy (job submit limit): QOSMaxSubmitJobPerUserLimit",
    "Batch job submission failed: AssocGrpSubmitJobsLimit", "QOSGrpSubmitJobsLimit",
    "Batch job submission failed: Slurm temporarily unable to accept job, sleeping and retrying",
])  # fmt: skip
def test_a_limit_is_met_for_a_while(problem: str) -> None:
    assert is_limit(problem)


@pytest.mark.parametrize("problem", [
    "Batch job submission failed: Invalid partition name specified", "Invalid --time specification",
    "Memory specification can not be satisfied; Batch job submission failed: Requested node configuration is not "
    "available", "Invalid generic resource (gres) specification", "unrecognized option '--nope'",
    "--mem, --mem-per-cpu, and --mem-per-gpu are mutually exclusive.",
    "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
])  # fmt: skip
def test_what_does_not_pass_is_one(problem: str) -> None:
    assert is_refusal(Answer(1, "", f"sbatch: error: {problem}"))
    assert not is_refusal(Answer(-9, "", problem))  # it may have been taken before that


@pytest.mark.parametrize(("printed", "found"), [
    ("12\n", "12"), ("12;cluster\n", "12"), ("Welcome to the cluster\n12\n", "12"), ("", None), ("12 ok\n", None),
])  # fmt: skip
def test_slurms_id_is_the_last_word_of_sbatch(printed: str, found: str | None) -> None:
    assert id_in(printed) == found


def test_ours_comes_last_on_the_command_line(data: Path) -> None:
    settings = load_settings(str(data), {})
    job = job_of(slurm_args=["--exclusive"], cpus=2, attempt=0)
    line = command(job, settings, key_of(job, settings).comment("cafe0001", NONCE), 4)
    assert line[0] == "sbatch"
    assert line.index("--exclusive") < line.index("--no-requeue")
    assert f"--comment={ID}/1/{key_of(job, settings).form}/cafe0001/{NONCE}" in line
    assert {f"--job-name={ID}", "--begin=now+4", "--nice=0", "--parsable"} <= set(line)
    assert not [item for item in command(job, settings, "x", 0) if item.startswith("--begin")]


@pytest.mark.parametrize(("priority", "nice", "as_root", "found"), [
    (500, 0, True, 0), (400, 0, False, 1000), (600, 0, True, -1000), (600, 0, False, 0), (600, 5000, False, 4000),
    (1_000_000, 0, True, -60_000), (-1_000_000, 0, False, 10_005_000),
])  # fmt: skip
def test_priority_is_nice(
    data: Path, monkeypatch: pytest.MonkeyPatch, priority: int, nice: int, as_root: bool, found: int
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0 if as_root else 1000)
    settings = replace(load_settings(str(data), {}), slurm={"nice": nice})
    assert f"--nice={found}" in command(job_of(priority=priority), settings, "x", 0)


def test_another_way_of_asking_is_another_key(data: Path) -> None:
    settings = load_settings(str(data), {})
    keys = [key_of(job_of(**fields), settings) for fields in ({}, {"cpus": 2}, {"priority": 7}, {"attempt": 2})]
    assert len(set(keys)) == 4
    assert key_of(job_of(), replace(settings, slurm={"partition": "gpu"})) not in keys


def test_a_directory_of_any_name_comes_through_the_script(tmp_path: Path) -> None:
    odd = tmp_path / "it's $HOME `x` 100% \\ %j"
    (odd / "logs").mkdir(parents=True)
    lines = script(KEY, JobPaths(str(odd))).splitlines()
    shown = "\n".join([*lines[:-1], lines[-1].replace("exec ", "printf '%s\\n' ", 1)])
    subprocess.run(["/bin/sh"], input=shown, text=True, check=True)
    assert (odd / "logs" / "slurm.log").read_text().splitlines()[-4:] == [str(odd), ID, "1", KEY.form]


# --- the runner of a node


Node = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def on_node(data: Path, store: JobStore, tmp_path: Path) -> Iterator[Node]:
    """Give a function that starts the runner of a node, as a batch script does."""
    store.prepare()
    settings = load_settings(str(data), {"JOBS_GRACE_SECONDS": "1"})
    Path(store.paths.for_nodes).write_text(json.dumps(settings.for_engine()))
    started = []

    def start(job_id: str, attempt: int = 1, slurm_id: str = "7", form: str = "") -> subprocess.Popen[bytes]:
        form = form or key_of(store.get(job_id), settings).form
        program = str(PROJECT / "running_jobs" / "commands" / "__main__.py")
        with open(tmp_path / "node.err", "wb") as complaints:
            runner = subprocess.Popen(
                [sys.executable, "-I", "-S", program, "node", str(data), job_id, str(attempt), form],
                env={**os.environ, "SLURM_JOB_ID": slurm_id, "SLURM_JOB_PARTITION": "main", "SLURMD_NODENAME": "n1"},
                stderr=complaints,
            )
        started.append(runner)
        return runner

    yield start
    for runner in started:
        runner.kill()
        runner.wait()


def queue(store: JobStore, cmd: str, **fields: object) -> str:
    """Store a queued job of Slurm's without waking anybody."""
    command = {"type": "exec", "cmd": cmd}
    return store.create(Job("", JobStatus.QUEUED, command, cwd="/", executor="slurm", **fields)).id


def test_a_runner_of_a_node_claims_runs_and_records(on_node: Node, store: JobStore, data: Path) -> None:
    job_id = queue(store, "echo $SLURM_JOB_ID; exit 3")
    assert on_node(job_id).wait(20) == 0
    job = store.get(job_id)
    assert (job.status, job.exit_code, job.executor) == ("error", 3, "slurm")
    assert job.placed == {"attempt": 1, "id": "7", "partition": "main", "node": "n1"}
    assert Path(store.paths.out(job_id)).read_text() == "7\n"
    assert dispatcher_of(data) is None  # it starts none


def test_the_second_runner_of_an_attempt_leaves(on_node: Node, store: JobStore, tmp_path: Path) -> None:
    job_id = queue(store, f"echo once >> {tmp_path / 'ran'}; until [ -e {tmp_path / 'go'} ]; do sleep 0.02; done")
    first = on_node(job_id)
    wait_for_status(store, job_id, "active")
    for slurm_id in ("7", "8"):
        assert on_node(job_id, slurm_id=slurm_id).wait(20) == 0
    (tmp_path / "go").touch()
    assert first.wait(20) == 0
    assert (store.get(job_id).status, (tmp_path / "ran").read_text()) == ("done", "once\n")
    assert on_node(job_id).wait(20) == 0  # and one that comes when all is over
    assert (store.get(job_id).attempt, (tmp_path / "ran").read_text()) == (1, "once\n")


def test_a_runner_of_an_earlier_attempt_leaves_the_next_alone(on_node: Node, store: JobStore) -> None:
    job_id = queue(store, "true", attempt=1, attempts=[{"attempt": 1}], retries=1)
    assert on_node(job_id, attempt=1).wait(20) == 0
    assert store.get(job_id).status == "queued"


def test_a_runner_whose_time_has_not_come_says_so(on_node: Node, actions: Actions, store: JobStore) -> None:
    early = queue(store, "true", not_before="2099-01-01T00:00:00.000Z")
    assert on_node(early).wait(20) == 75
    waiting = queue(store, "true", after=[early])
    assert on_node(waiting).wait(20) == 75
    ready = queue(store, "true")
    store.pause(True)
    assert on_node(ready).wait(20) == 75
    assert {store.get(job_id).status for job_id in (early, waiting, ready)} == {"queued"}


def test_a_runner_of_what_was_asked_for_otherwise_leaves(on_node: Node, store: JobStore) -> None:
    job_id = queue(store, "true")
    assert on_node(job_id, form="00000000").wait(20) == 75
    assert store.get(job_id).status == "queued"


def test_a_runner_that_cannot_claim_leaves_the_job_queued(on_node: Node, store: JobStore, tmp_path: Path) -> None:
    job_id = queue(store, "true")
    with files.locked(store.paths.lock):
        runner = on_node(job_id)
        assert runner.wait(40) == 75
    assert "was not run" in (tmp_path / "node.err").read_text()
    assert store.get(job_id).status == "queued"


def test_a_command_on_a_node_starts_no_dispatcher_there(on_node: Node, store: JobStore, data: Path) -> None:
    app = f"{sys.executable} {PROJECT / 'app.py'} --data {data}"
    job_id = queue(store, f"{app} run --executor local true && {app} list >/dev/null")
    assert on_node(job_id).wait(30) == 0
    assert store.get(job_id).status == "done", Path(store.paths.err(job_id)).read_text()
    assert dispatcher_of(data) is None
    assert sum(store.get(other).status == "queued" for other in store.ids()) == 1


def test_what_slurm_ends_is_left_to_whoever_knows_why(on_node: Node, store: JobStore) -> None:
    job_id = queue(store, "trap 'exit 9' TERM; while :; do sleep 0.05; done")
    runner = on_node(job_id)
    wait_for(lambda: store.get(job_id).status == "active" and Path(f"/proc/{store.get(job_id).pid}/task").exists())
    wait_for(lambda: Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text())
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(20) == 0
    job = store.get(job_id)
    assert (job.status, job.placed["signal"] or job.placed["exit_code"]) in (("active", 9), ("active", 15))


def test_an_attempt_that_was_taken_for_lost_is_ended(on_node: Node, store: JobStore) -> None:
    job_id = queue(store, "sleep 1000", retries=1)
    runner = on_node(job_id)
    wait_for_status(store, job_id, "active")
    wait_for(lambda: Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text())
    store.update(job_id, lambda job: end_of(job, row("NODE_FAIL"), moment()))
    assert runner.wait(20) == 0
    job = store.get(job_id)
    assert (job.status, job.attempt, job.reason) == ("queued", 1, "attempt 1: lost: node n1 failed")


def test_a_signal_has_it_read_what_was_asked(on_node: Node, actions: Actions, store: JobStore) -> None:
    job_id = queue(store, "sleep 1000")
    runner = on_node(job_id)
    wait_for_status(store, job_id, "active")
    store.update(job_id, lambda job: {"asked": {"verb": "kill", "by": "ann"}})
    runner.send_signal(signal.SIGUSR1)
    assert runner.wait(20) == 0
    assert (store.get(job_id).status, store.get(job_id).reason) == ("stop", "killed by ann (killed by SIGKILL)")


def test_without_what_was_handed_over_it_fails_and_says_why(on_node: Node, store: JobStore, tmp_path: Path) -> None:
    job_id = queue(store, "true")
    os.unlink(store.paths.for_nodes)
    assert on_node(job_id).wait(20) == 1
    assert "for_nodes.json" in (tmp_path / "node.err").read_text()
    assert store.get(job_id).status == "queued"
