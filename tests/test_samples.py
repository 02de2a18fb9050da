"""Samples of what jobs use: of all their processes, few however long they run, cheap, and gone with the job."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from running_jobs import files, gpu, sampler, samples, sampling
from running_jobs.job import ACTIVE, DONE, IDLE, QUEUED, Job, to_iso
from running_jobs.processes import boot_id
from running_jobs.sampler import Sampler, interval_for
from running_jobs.store import JobStore

from .conftest import dispatcher_of, end_everything, kill_and_wait, wait_for, wait_for_end, wait_for_status

BURN = "while :; do :; done"


def kept(store: JobStore, job_id: str) -> list[dict[str, Any]]:
    return samples.read(store.paths.stats(job_id))


def wait_for_sample(store: JobStore, job_id: str, fits: Any = lambda sample: True) -> dict[str, Any]:
    return wait_for(
        lambda: next((sample for sample in kept(store, job_id) if fits(sample)), None),
        lambda: f"such a sample among {kept(store, job_id)}",
    )


def sample(number: int, attempt: int = 1, rss_bytes: int = 1000) -> dict[str, Any]:
    return {
        "at": to_iso(1_700_000_000 + number),
        "attempt": attempt,
        "cpu_s": float(number),
        "rss_bytes": rss_bytes,
        "processes": 1,
        "out_bytes": number,
        "err_bytes": 0,
    }


# --- what counts


def test_cpu_of_a_child_a_grandchild_and_a_daemon_counts(launch, store: JobStore) -> None:
    job = launch(f"({BURN}) & (setsid sh -c '{BURN}' &) ; sh -c '({BURN}) & wait'")
    found = wait_for_sample(store, job.id, lambda sample: sample["processes"] >= 5 and sample["cpu_s"] > 1)
    burning = wait_for_status(store, job.id, "active")
    children = psutil.Process(burning.pid).children(recursive=True)
    assert len(children) == found["processes"]
    assert found["cpu_s"] <= sum(sum(child.cpu_times()[:2]) for child in children) + 0.1


def test_cpu_of_children_that_ended_counts(launch, store: JobStore) -> None:
    job = launch("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done & wait; exec sleep 1000")
    used = wait_for_sample(store, job.id, lambda sample: sample["processes"] == 1)
    assert used["cpu_s"] >= 0.05


def test_memory_is_that_of_all_processes(launch, store: JobStore) -> None:
    hold = "python3 -c 'import time; held = bytearray(40_000_000); time.sleep(1000)'"
    job = launch(f"{hold} & {hold} & wait")
    assert wait_for_sample(store, job.id, lambda sample: sample["rss_bytes"] > 80_000_000)["processes"] == 3


def test_what_a_dispatcher_runs_that_a_job_started_is_not_the_jobs(launch, store: JobStore, tmp_path: Path) -> None:
    other = tmp_path / "other"
    program = Path(__file__).parent.parent / "app.py"
    job = launch(f"JOBS_DATA={other} {sys.executable} {program} run -- sleep 1000 && exec sleep 1000")
    try:
        wait_for(lambda: dispatcher_of(other), "the other dispatcher")
        assert wait_for_sample(store, job.id, lambda sample: sample["processes"] == 1)
        assert len(psutil.Process(store.get(job.id).pid).children(recursive=True)) > 1
    finally:
        end_everything(other)


def test_a_sample_holds_how_long_the_logs_are(launch, store: JobStore) -> None:
    job = launch("printf 12345; printf 123 >&2; exec sleep 1000")
    found = wait_for_sample(store, job.id, lambda sample: sample["out_bytes"])
    assert (found["out_bytes"], found["err_bytes"], found["attempt"]) == (5, 3, 1)
    assert os.stat(store.paths.stats(job.id)).st_mode & 0o777 == 0o600


def test_what_is_below_the_sizes_of_a_sample_was_written_by_its_time(store: JobStore, tmp_path: Path) -> None:
    store.prepare()
    out, err = (Path(path("20261121-000000-000001")) for path in (store.paths.out, store.paths.err))
    out.write_text("12345")
    err.symlink_to(__file__)

    def clock() -> float:
        out.write_text("written after the time was looked at")
        return 1_700_000_000.0

    taken = samples.taken(store.paths, "20261121-000000-000001", 2, sampling.Usage(1.234, 1000, [7]), clock)
    link_bytes = len(os.fsencode(__file__))
    assert taken == {**sample(0, attempt=2), "cpu_s": 1.23, "out_bytes": 5, "err_bytes": link_bytes}
    assert files.size_of(str(tmp_path / "none")) == 0


def test_a_retry_goes_on_in_the_same_file(launch, store: JobStore) -> None:
    job = launch("sleep 1.5; exit 1", retries=1, retry_delay=0)
    wait_for_end(store, job.id)
    found = [sample["attempt"] for sample in kept(store, job.id)]
    assert set(found) == {1, 2}
    assert found == sorted(found)


def test_a_dispatcher_started_anew_goes_on(launch, store: JobStore, data: Path, actions) -> None:
    job = launch(BURN)
    first = wait_for_sample(store, job.id, lambda sample: sample["cpu_s"] > 0.1)
    kill_and_wait(dispatcher_of(data))
    actions.submit({"command": {"type": "exec", "cmd": "true"}, "start": True})  # whoever queues a job starts one
    count = len(kept(store, job.id))
    wait_for(lambda: len(kept(store, job.id)) > count + 1)
    used = [sample["cpu_s"] for sample in kept(store, job.id)]
    assert used == sorted(used)
    assert used[-1] > first["cpu_s"]


# --- how it is read


def test_a_table_of_all_processes_finds_what_lists_of_children_would() -> None:
    me = sampling.read_member(os.getpid())
    table = sampling.Table()
    for _ in table.fill():
        pass
    expected = {child.pid for child in psutil.Process().children()}
    assert expected <= set(table.children(me))
    if sampling.has_lists_of_children():
        assert set(sampling.listed_children(me)) >= expected


def test_a_pid_that_was_given_away_meanwhile_is_not_counted() -> None:
    me = sampling.read_member(os.getpid())
    assert sampling.usage_below(me, lambda parent: [1] if parent.pid == me.pid else []).pids == []


def test_a_sum_never_falls_and_loses_nothing_that_comes_back() -> None:
    cpu = sampling.Cumulative()
    assert [cpu.add(figure) for figure in (1, 3, 2, 4)] == [1, 3, 3, 4]  # one that ended while we looked
    cpu = sampling.Cumulative()
    assert [cpu.add(figure) for figure in (5, 1, 2, 3)] == [5, 5, 5, 6]  # one that nobody waited for
    assert sampling.Cumulative(7.5).add(8.0) == 8.0


# --- how many


def test_the_number_stays_bounded_however_long_it_runs(store: JobStore) -> None:
    job_id = store.create(Job(id="", status=IDLE, command={"type": "exec", "cmd": "true"}, cwd="/")).id
    count, at_s, most = 0, 0.0, 0
    for _ in range(3000):
        new = sample(int(at_s), rss_bytes=9_000_000 if int(at_s) == 50 else 1000)
        count = samples.append(store.paths, job_id, [new], count)
        most = max(most, len(kept(store, job_id)) if count > samples.MOST - 2 else 0)
        at_s += interval_for(at_s, 1.0)
    found = kept(store, job_id)
    assert at_s > 30 * 86400
    assert samples.MOST // 4 <= len(found) <= most <= samples.MOST
    assert count == len(found)
    assert found[0]["at"] == sample(0)["at"]
    assert found[-1] == new
    assert max(one["rss_bytes"] for one in found) == 9_000_000, "the peak is gone"
    assert [one["cpu_s"] for one in found] == sorted(one["cpu_s"] for one in found)


def test_making_fewer_keeps_the_first_of_each_attempt() -> None:
    series = [sample(number, attempt=1 + number // 7) for number in range(70)]
    firsts = [one["at"] for one in samples.thinned(series) if int(one["cpu_s"]) % 7 == 0]
    assert len(firsts) == 10
    many = [sample(number, attempt=number) for number in range(1000)]
    assert len(samples.thinned(many)) <= samples.MOST


@pytest.mark.parametrize("line", ["{", "[]", '{"at":"x"}', '{"at":5}', json.dumps({**sample(1), "cpu_s": "9"}), '"at"'])
def test_lines_that_are_no_samples_are_passed_over(tmp_path: Path, line: str) -> None:
    path = tmp_path / "stats"
    path.write_text(f"{json.dumps(sample(1))}\n{line}\n{json.dumps(sample(2))}\n")
    assert samples.read(str(path)) == [sample(1), sample(2)]


class Life:
    """A job, whose runner is this process or another, and a sampler whose clock is moved on by hand."""

    def __init__(self, store: JobStore, monkeypatch: pytest.MonkeyPatch, pid: int = os.getpid()) -> None:
        self.store = store
        self.now = 1000.0
        self.usage = sampling.Usage(0.0, 1_000_000, [1])
        monkeypatch.setattr(sampler.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(sampler, "age_s", lambda started: self.now - 1000.0)
        monkeypatch.setattr(sampler, "usage_below", lambda runner, children, before_s: self.usage)
        self.sampler = Sampler(store)
        self.job_id = self.add(pid)

    def add(self, pid: int) -> str:
        """Let the sampler follow a job that has a process as its runner."""
        runner = sampling.read_member(pid)
        job_id = self.store.create(Job(id="", status=QUEUED, command={"type": "exec", "cmd": "x"}, cwd="/")).id
        claim = {"status": ACTIVE, "pid": pid, "pid_started": runner.started, "boot_id": boot_id(), "attempt": 1}
        self.store.update(job_id, lambda job: claim)
        self.sampler.follow(job_id)
        return job_id

    def look(self) -> float:
        """Move on to when the next look is due, look, and return when that was."""
        self.now = max(self.now, self.sampler.due_at)
        self.sampler.look(self.now)
        return self.now


def test_looks_are_rarer_while_nothing_changes_and_again_frequent_when_it_does(store: JobStore, monkeypatch) -> None:
    life = Life(store, monkeypatch)
    for _ in range(12):
        life.look()
    begin = life.now
    assert life.look() - begin == pytest.approx(10, abs=1)
    assert len(kept(store, life.job_id)) == 1, "the same was written again"
    life.usage = sampling.Usage(5.0, 1_000_000, [1])
    changed = life.look()
    assert len(kept(store, life.job_id)) == 3, "the last that was the same, and the one that is not"
    life.usage = sampling.Usage(9.0, 1_000_000, [1])
    assert life.look() - changed < 5


def test_a_slow_leak_is_seen(store: JobStore, monkeypatch) -> None:
    life = Life(store, monkeypatch)
    for number in range(60):
        life.usage = sampling.Usage(0.0, 1_000_000 + 2_000 * number, [1])
        life.look()
    assert len(kept(store, life.job_id)) >= 10


def test_what_was_held_back_is_written_at_the_end(store: JobStore, monkeypatch) -> None:
    life = Life(store, monkeypatch)
    for _ in range(6):
        life.look()
    life.sampler.forget(life.job_id)
    assert len(kept(store, life.job_id)) == 2
    assert life.sampler.due_at == sampler.NEVER


def test_dear_looks_are_rare(store: JobStore, monkeypatch) -> None:
    life = Life(store, monkeypatch)
    costs = iter(range(1000))
    monkeypatch.setattr(sampler.time, "thread_time", lambda: next(costs) * 0.05)  # each look takes 50 ms
    looks = [life.look() for _ in range(8)]
    gaps = [later - earlier for earlier, later in zip(looks[2:], looks[3:])]
    assert min(gaps) >= 0.05 / 0.001


# --- what must not happen


def test_a_job_deleted_between_look_and_write_leaves_nothing(store: JobStore, monkeypatch) -> None:
    life = Life(store, monkeypatch)
    while not kept(store, life.job_id):
        life.look()
    store.update(life.job_id, lambda job: {"status": DONE})

    def deleted_meanwhile(*args: Any) -> sampling.Usage:
        store.delete(life.job_id)
        return sampling.Usage(5.0, 1, [1])  # a change, which is written

    monkeypatch.setattr(sampler, "usage_below", deleted_meanwhile)
    life.look()
    assert not list(Path(store.paths.data).glob(f"*{life.job_id}*"))


def test_a_sample_written_while_a_job_is_being_deleted_goes_with_it(store: JobStore, monkeypatch) -> None:
    job_id = store.create(Job(id="", status=DONE, command={"type": "exec", "cmd": "x"}, cwd="/")).id
    unlink = os.unlink

    def late(path: str) -> None:
        if path == store.paths.json(job_id):
            samples.append(store.paths, job_id, [sample(1)], 0)
        unlink(path)

    monkeypatch.setattr(os, "unlink", late)
    store.delete(job_id)
    monkeypatch.undo()
    assert not list(Path(store.paths.data).glob(f"*{job_id}*"))


def test_a_full_disk_costs_samples_and_nothing_else(store: JobStore, monkeypatch) -> None:
    life = Life(store, monkeypatch)

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "append_line", full)
        for _ in range(4):
            life.look()
    assert kept(store, life.job_id) == []
    assert not os.path.exists(store.paths.errors) or "space" not in Path(store.paths.errors).read_text()
    life.usage = sampling.Usage(3.0, 1_000_000, [1])
    life.look()
    assert kept(store, life.job_id)


def test_a_link_in_place_of_the_samples_is_not_followed(store: JobStore, tmp_path: Path, monkeypatch) -> None:
    life = Life(store, monkeypatch)
    target = tmp_path / "precious"
    target.write_text("precious")
    os.symlink(target, store.paths.stats(life.job_id))
    for _ in range(3):
        life.look()
    assert target.read_text() == "precious"


def test_sleeping_jobs_cost_next_to_nothing(store: JobStore, monkeypatch) -> None:
    """What looks take is measured, and what lies between them passes on a clock that is moved on by hand."""
    jobs, looks, real = 40, [], sampling.usage_below
    runner = subprocess.Popen(["sh", "-c", "sleep 1000 & wait"], start_new_session=True)
    try:
        life = Life(store, monkeypatch, runner.pid)
        for _ in range(jobs - 1):
            life.add(runner.pid)
        monkeypatch.setattr(sampler, "usage_below", lambda *asked: looks.append(1) or real(*asked))
        began, used_s = life.now, 0.0
        while life.sampler.due_at - began < 600:
            life.now = life.sampler.due_at
            before_s = time.thread_time()
            life.sampler.look(life.now)
            used_s += time.thread_time() - before_s
    finally:
        os.killpg(runner.pid, signal.SIGKILL)
        runner.wait()
    elapsed_s = life.sampler.due_at - began
    assert len(looks) >= jobs * 20, "they are not looked at"
    assert len(looks) / jobs <= elapsed_s / sampler.LOOK_EVERY_QUIET_S + 10
    assert used_s / elapsed_s < 0.001
    assert all(len(kept(store, job_id)) <= 3 for job_id in store.ids())


def test_nothing_is_looked_at_while_nothing_runs(store: JobStore) -> None:
    idle = Sampler(store)
    assert idle.due_at == sampler.NEVER
    idle.follow("20261121-000000-000001")
    idle.forget("20261121-000000-000001")
    assert idle.due_at == sampler.NEVER


# --- GPUs

PMON = """\
# gpu         pid   type     sm    mem    enc    dec    jpg    ofa     fb   ccpm    command
# Idx           #    C/G      %      %      %      %      %      %     MB     MB    name
    0       4242     C     45     20      -      -      -      -   2048      0    python train.py
    1       4242     C     30     20      -      -      -      -   1024      0    python train.py
    1         77     G      -      -      -      -      -      -     12      0    Xorg
    2          -     -      -      -      -      -      -      -      -      -    -
"""


def test_both_forms_of_the_answer_are_understood() -> None:
    of_pmon = gpu.parse(0, PMON)
    assert of_pmon == {4242: (75, 3072 << 20), 77: (None, 12 << 20)}
    assert gpu.parse(1, "4242, 2048\n4242, 10\n77, [N/A]\n") == {4242: (None, 2058 << 20), 77: (None, None)}
    assert gpu.parse(1, "") == {}


@pytest.mark.parametrize("junk", ["No devices were found\n", "# gpu\n", "\0\xff\n", "NVIDIA-SMI has failed, because\n"])
def test_an_answer_that_is_none_is_not_understood(junk: str) -> None:
    assert gpu.parse(0, junk) is None
    assert gpu.parse(1, junk) is None


@pytest.fixture
def fake_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that puts a program called nvidia-smi first in the PATH."""
    folder = tmp_path / "fake"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(script: str) -> Path:
        program = folder / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    return write


def _all_pids(line: str) -> str:
    return f"for place in /proc/[0-9]*; do pid=${{place#/proc/}}; {line}; done"


def test_gpu_use_is_a_jobs_by_its_pids(fake_smi, launch, store: JobStore) -> None:
    row = _all_pids('echo "0 $pid C 45 20 100 sleep"')
    fake_smi(f"[ \"$1\" = pmon ] || exit 9; echo '# gpu pid type sm mem fb command'; {row}")
    job = launch("exec sleep 1000")
    found = wait_for_sample(store, job.id, lambda sample: "gpu_bytes" in sample)
    assert (found["gpu_percent"], found["gpu_bytes"]) == (45, 100 << 20)


def test_where_pmon_fails_the_list_of_processes_tells_memory(fake_smi, launch, store: JobStore) -> None:
    fake_smi(f'[ "$1" = pmon ] && exit 3; {_all_pids("echo $pid, 7")}')
    job = launch("exec sleep 1000")
    found = wait_for_sample(store, job.id, lambda sample: "gpu_bytes" in sample)
    assert found["gpu_bytes"] == 7 << 20
    assert "gpu_percent" not in found


def asked_until(program: Path, is_over: Any, step_s: float = 1.0) -> gpu.Gpu:
    """Ask with a clock that is moved on by hand."""
    asking, now = gpu.Gpu(str(program)), 1000.0

    def turned() -> Any:
        nonlocal now
        asking.turn(now, is_wanted=True)
        now += step_s
        return is_over(asking)

    wait_for(turned)
    return asking


def test_one_that_hangs_is_ended_with_what_it_started(fake_smi, tmp_path: Path) -> None:
    told = tmp_path / "pids"
    program = fake_smi(f"echo $$ >> {told}; sleep 1000")
    before = set(os.listdir("/proc/self/fd"))
    asking = asked_until(program, lambda asking: not asking.is_asking and told.exists(), step_s=0.05)
    wait_for(lambda: not any(psutil.pid_exists(int(pid)) for pid in told.read_text().split()))
    assert asking.by_pid == {}
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("pipe_bytes", [4096, gpu.MAX_ANSWER])
def test_an_answer_may_be_longer_than_a_pipe_holds(fake_smi, monkeypatch, pipe_bytes: int) -> None:
    program = fake_smi("echo '# gpu pid type sm mem fb command'; seq -f '0 %.0f C 45 20 100 train' 1 5000")
    control = fcntl.fcntl
    monkeypatch.setattr(fcntl, "fcntl", lambda pipe, command, _: control(pipe, command, pipe_bytes))
    asking = asked_until(program, lambda asking: not asking.is_asking, step_s=0.001)
    assert list(asking.by_pid) == list(range(1, 5001))


def test_an_answer_without_end_is_none(fake_smi) -> None:
    asking = asked_until(fake_smi("exec yes 1, 1"), lambda asking: not asking.is_asking, step_s=0.05)
    assert asking.by_pid == {}


def test_junk_is_no_answer_and_is_not_asked_for_again_soon(fake_smi, tmp_path: Path) -> None:
    told = tmp_path / "asked"
    program = fake_smi(f"echo >> {told}; echo junk junk junk")
    asking = gpu.Gpu(str(program))
    for second in range(100):
        asking.turn(1000.0 + second, is_wanted=True)
        wait_for(lambda: not asking.is_asking or asking.turn(1000.0 + second, True) or not asking.is_asking)  # noqa: B023
    assert told.read_text().count("\n") == 2, "both forms, once"
    assert asking.by_pid == {}


def test_nothing_inherits_our_descriptors(fake_smi, tmp_path: Path) -> None:
    told = tmp_path / "descriptors"
    program = fake_smi(f"ls /proc/$$/fd > {told}.new; mv {told}.new {told}")
    asked_until(program, lambda asking: told.exists())
    assert {name for name in told.read_text().split() if int(name) < 10} <= {"0", "1", "2"}


def test_it_is_looked_for_in_absolute_folders_alone(fake_smi, tmp_path: Path) -> None:
    program = fake_smi("true")
    assert gpu.find_nvidia_smi(f"nowhere:{program.parent}") == str(program)
    assert gpu.find_nvidia_smi(".:") is None
