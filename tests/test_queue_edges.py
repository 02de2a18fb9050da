"""The queue at its edges: what is asked at the wrong moment, what is too large, what hangs, what is deleted."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from running_jobs.actions import Actions
from running_jobs.dispatcher import Dispatcher
from running_jobs.errands import Errands
from running_jobs.errors import InvalidJob, NotAllowed, StorageFailed, WrongState
from running_jobs.job import Job, JobStatus
from running_jobs.store import JobStore

from .conftest import (
    PROJECT,
    Listener,
    Server,
    dispatcher_of,
    is_gone,
    kill_and_wait,
    remove_tree,
    wait_for,
    wait_for_end,
    wait_for_status,
)


@pytest.mark.parametrize("verb", ["stop", "kill"])
def test_whoever_ends_a_job_during_the_grace_of_its_timeout_ends_it_for_good(
    actions: Actions, launch: Callable[..., Job], store: JobStore, verb: str
) -> None:
    job = launch("trap '' TERM; echo ready; while :; do sleep 0.05; done", timeout=1.5, retries=3, retry_delay=0)
    wait_for(lambda: store.get(job.id).status == "active" and "ready" in Path(store.paths.out(job.id)).read_text())
    asked_at = time.monotonic() + 1.6
    wait_for(lambda: time.monotonic() > asked_at)
    getattr(actions, verb)(job.id, by="alice")
    ended = wait_for_end(store, job.id)
    assert (ended.status, ended.attempt) == ("error", 1)


def test_a_change_that_was_accepted_holds_however_close_the_start_was(
    actions: Actions, launch: Callable[..., Job], store: JobStore
) -> None:
    accepted = 0
    for number in range(40):
        job = launch("true")
        started = time.perf_counter()
        while time.perf_counter() - started < number * 0.0003:
            pass
        try:
            actions.edit(job.id, {"delay": 1000})
        except WrongState:
            wait_for_end(store, job.id)
            continue
        accepted += 1
        assert store.get(job.id).status == "queued"
        assert wait_for_end(store, launch("true").id).status == "done"  # the dispatcher has seen it by now
        assert (store.get(job.id).status, store.get(job.id).attempt) == ("queued", 0)
    assert accepted > 0


def test_a_record_that_could_not_be_read_again_is_not_written(actions: Actions, store: JobStore) -> None:
    half = dict.fromkeys(map(str, range(25)), "x" * 90000)
    job = actions.submit({"command": {"type": "exec", "cmd": "true"}, "env": half})
    before = Path(store.paths.json(job.id)).read_bytes()
    with pytest.raises(InvalidJob, match="its record would have"):
        actions.edit(job.id, {"env": half | {name + "more": text for name, text in half.items()}})
    with pytest.raises(InvalidJob, match="its record would have"):
        actions.submit(
            {"command": {"type": "exec", "cmd": "true"}, "env": half | {f"{n}more": t for n, t in half.items()}}
        )
    assert Path(store.paths.json(job.id)).read_bytes() == before
    assert store.ids() == [job.id]
    assert Path(store.paths.journal).read_text().count("\n") == 1


def test_a_job_that_was_done_may_be_deleted_before_those_that_wait_for_it_ran(
    actions: Actions, launch: Callable[..., Job], store: JobStore, data: Path
) -> None:
    first = wait_for_end(store, launch("true").id)
    held = actions.submit({"command": {"type": "exec", "cmd": "true"}, "after": [first.id]})
    delayed = launch("true", delay=1000, after=[first.id])
    failed = wait_for_end(store, launch("exit 1").id)
    in_vain = actions.submit(
        {"command": {"type": "exec", "cmd": f": {failed.id} x - deleted - was done"}, "after": [failed.id]}
    )
    actions.delete(first.id)
    actions.delete(failed.id)
    assert store.get(held.id).after_done == store.get(delayed.id).after_done == [first.id]
    kill_and_wait(wait_for(lambda: dispatcher_of(data)))
    for job in (held, in_vain):
        actions.start(job.id)
    actions.edit(delayed.id, {"delay": 0, "after": [first.id, held.id]})
    assert wait_for_end(store, held.id).status == "done"
    assert wait_for_end(store, delayed.id).status == "done"
    assert wait_for_end(store, in_vain.id).reason == f"job {failed.id} was deleted"


def test_an_array_whose_submitter_is_killed_is_not_there(data: Path, store: JobStore, actions: Actions) -> None:
    program = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from running_jobs import job_files\n"
        "from running_jobs.actions import Actions\n"
        "from running_jobs.settings import load_settings\n"
        "calls = 0\n"
        "publish = job_files.JobFiles.publish\n"
        "def counted(*args):\n"
        "    global calls\n"
        "    calls += 1\n"
        "    if calls == 30: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    publish(*args)\n"
        "actions = Actions(load_settings(sys.argv[2]))\n"
        "job_files.JobFiles.publish = counted\n"
        "actions.submit_all([{'command': {'type': 'exec', 'cmd': 'true'}, 'start': True}] * 50)\n"
    )
    before = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    killed = subprocess.run([sys.executable, "-c", program, str(PROJECT), str(data)])
    assert killed.returncode == -signal.SIGKILL
    assert len(store.ids()) == 30
    after = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    assert store.ids() == [before.id, after.id]
    assert sorted(os.listdir(store.paths.open)) == [before.id, after.id]
    assert not list(data.glob("*.new")) and len(list(data.glob("*.out"))) == 2


def test_null_leaves_an_option_to_the_settings_and_nothing_is_no_change(configure: Callable[..., Actions]) -> None:
    actions = configure("max_retries = 4\nretry_delay = 9\ntimeout = 8\n")
    more = {"retries": 1, "retry_delay": 2, "timeout": 3}
    job = actions.submit({"command": {"type": "exec", "cmd": "true"}, **more})
    changed = actions.edit(job.id, dict.fromkeys(more))
    assert (changed.retries, changed.retry_delay, changed.timeout) == (4, 9, 8)
    with pytest.raises(InvalidJob, match="name one"):
        actions.edit(job.id, {})


def test_retries_cannot_be_taken_back_below_the_attempt_that_is_to_come(
    actions: Actions, launch: Callable[..., Job], store: JobStore
) -> None:
    job = launch("exit 1", retries=3, retry_delay=1000)
    wait_for(lambda: store.get(job.id).attempts and store.get(job.id).status == "queued")
    with pytest.raises(InvalidJob, match="at least 1"):
        actions.edit(job.id, {"retries": 0})
    assert actions.edit(job.id, {"retries": 1}).retries == 1


def test_where_only_approved_commands_run_requests_may_be_sent(
    configure: Callable[..., Actions], listener: Listener
) -> None:
    actions = configure('[allowed_commands.greet]\ncommand = ["echo", "hello"]\n')
    with pytest.raises(NotAllowed):
        actions.submit({"command": {"type": "exec", "cmd": "true"}})
    with pytest.raises(InvalidJob):
        actions.submit({"command": "true"})
    job = actions.submit({"command": {"type": "http", "url": listener.url}, "start": True})
    assert wait_for_end(actions.store, job.id).status == "done"


def test_a_callback_has_a_bound_and_holds_up_no_other(
    launch: Callable[..., Job], store: JobStore, listener: Listener
) -> None:
    for wrong in (0, -1, 3601, "5"):
        with pytest.raises(InvalidJob, match=r"callback_done\.timeout"):
            launch("true", callback_done={"type": "exec", "cmd": "true", "timeout": wrong})
    job = launch(
        "exit 1",
        callback_done={"type": "exec", "cmd": "exit 1"},
        callback_failed={"type": "http", "url": f"{listener.url}/failed"},
    )
    first, second = wait_for(lambda: found if len(found := store.get(job.id).callbacks) == 2 else None)
    assert (first["callback"], first["outcome"], first["tries"]) == ("callback_failed", "made", 1)
    assert (second["callback"], second["outcome"], second["tries"]) == ("callback_done", "failed", 3)


def test_deleting_a_job_ends_its_callback(
    actions: Actions, launch: Callable[..., Job], store: JobStore, tmp_path: Path
) -> None:
    mark = tmp_path / "pid"
    job = launch("true", callback_done={"type": "exec", "cmd": f"echo $$ > {mark}; exec sleep 1000", "timeout": 3600})
    wait_for(lambda: mark.exists() and mark.read_text().strip())
    process = psutil.Process(int(mark.read_text()))
    actions.delete(job.id)
    wait_for(lambda: is_gone(process))
    wait_for(lambda: not os.listdir(store.paths.open))


def test_the_context_of_a_job_that_is_changed_in_line_counts_from_there(configure: Callable[..., Actions]) -> None:
    actions = configure("slots = 3\ngrace_seconds = 1\n[contexts.one]\nslots = 1\n")
    first = actions.submit({"command": {"type": "exec", "cmd": "sleep 1000"}, "context": "one", "start": True})
    wait_for_status(actions.store, first.id, "active")
    actions.pause(True)
    second = actions.submit({"command": {"type": "exec", "cmd": "sleep 1000"}, "start": True})
    actions.edit(second.id, {"context": "one"})
    actions.pause(False)
    third = actions.submit({"command": {"type": "exec", "cmd": "true"}, "start": True})
    wait_for_end(actions.store, third.id)
    assert actions.store.get(second.id).status == "queued"
    actions.edit(second.id, {"context": "two"})
    wait_for_status(actions.store, second.id, "active")


def test_wait_is_no_success_if_the_job_is_none(app_py: Callable[..., object]) -> None:
    line = "trap 'exit 0' TERM; sleep 100 & wait"
    assert app_py("run", "--wait", "--timeout", "0.3", line).code == 1


def test_a_done_job_is_known_as_done_after_run_was_deleted(
    actions: Actions, launch: Callable[..., Job], store: JobStore, data: Path
) -> None:
    first = wait_for_end(store, launch("true").id)
    held = actions.submit({"command": {"type": "exec", "cmd": "true"}, "after": [first.id]})
    kill_and_wait(wait_for(lambda: dispatcher_of(data)))
    remove_tree(data / "run")
    actions.delete(first.id)
    actions.start(held.id)
    assert wait_for_end(store, held.id).status == "done"


def test_what_was_accepted_to_wait_for_a_done_job_runs_even_if_that_is_being_deleted(
    actions: Actions, launch: Callable[..., Job], store: JobStore
) -> None:
    accepted = []
    for number in range(30):
        first = wait_for_end(store, launch("true").id)
        deleting = threading.Thread(target=actions.delete, args=(first.id,))
        deleting.start()
        end = time.perf_counter() + number * 0.00005
        while time.perf_counter() < end:
            pass
        with contextlib.suppress(InvalidJob):
            accepted.append(launch("true", after=[first.id]).id)
        deleting.join()
    for job_id in accepted:
        assert wait_for_end(store, job_id).status == "done"


def test_a_list_of_an_array_that_came_back_takes_no_job_that_ran(
    actions: Actions, launch: Callable[..., Job], store: JobStore
) -> None:
    done = wait_for_end(store, launch("true").id)
    active = launch("sleep 1000")
    wait_for_status(store, active.id, "active")
    Path(store.paths.batch).write_text(f"{done.id}\n{active.id}\n../x\n")
    launch("true")
    assert not Path(store.paths.batch).exists()
    assert {done.id, active.id} <= set(store.ids())


def test_a_deletion_on_a_full_disk_of_what_is_awaited_makes_room_first(
    actions: Actions, launch: Callable[..., Job], store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = wait_for_end(store, launch("echo long").id)
    actions.submit({"command": {"type": "exec", "cmd": "true"}, "after": [first.id]})
    seen = []

    def tell_done(job_id: str) -> None:
        seen.append(os.path.exists(store.paths.out(first.id)))
        if seen[-1]:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store._awaited, "tell_done", tell_done)
    actions.delete(first.id)
    assert seen == [True, False]
    assert first.id not in store.ids()


def test_a_deletion_that_is_refused_leaves_everything(
    actions: Actions, launch: Callable[..., Job], store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = wait_for_end(store, launch("echo kept; echo result > $JOB_FILES/result").id)

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(store.files, "tell", refuse)
    with pytest.raises(StorageFailed):
        actions.delete(job.id)
    assert Path(store.paths.out(job.id)).read_text() == "kept\n"
    assert Path(store.paths.results(job.id), "result").read_text() == "result\n"
    assert store.get(job.id).status == "done"


def errands_of(actions: Actions) -> Errands:
    """Return the errands of a dispatcher in this process."""
    actions.store.prepare()
    return Dispatcher(actions.store, actions.settings, 0).errands


def test_a_pruner_that_cannot_be_watched_is_ended(
    configure: Callable[..., Actions], monkeypatch: pytest.MonkeyPatch
) -> None:
    errands = errands_of(configure("keep_jobs = 5\n"))
    before = psutil.Process().children()

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", refuse)
        errands.start(100.0)
    assert (len(errands), psutil.Process().children()) == (0, before)
    errands.start(105.0)
    [pruner] = set(psutil.Process().children()) - set(before)
    pruner.wait(20)


def test_a_pruner_that_cannot_be_started_is_tried_again_now_and_then(
    configure: Callable[..., Actions], monkeypatch: pytest.MonkeyPatch
) -> None:
    errands = errands_of(actions := configure("keep_jobs = 5\n"))
    tried = []

    def refuse(*_: object) -> None:
        tried.append(1)
        raise OSError("no processes")

    monkeypatch.setattr(errands, "_spawn", refuse)
    for now in (100.0, 100.1, 104.9, 105.0, 105.1):
        errands.start(now)
    assert len(tried) == 2
    assert errands.seconds_to_next(105.1) == pytest.approx(4.9)
    assert Path(actions.store.paths.errors).read_text().count("no processes") == 1


def test_a_dispatcher_without_descriptors_goes_on_when_there_are_some(
    actions: Actions, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.prepare()
    dispatcher = Dispatcher(store, actions.settings, 0)
    job = actions.store.create(Job(id="", status=JobStatus.QUEUED, command={"type": "exec", "cmd": "true"}))

    def refuse() -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as without:
        without.setattr(dispatcher.follower, "changed", refuse)
        dispatcher.look_at_changed()
        assert 0 < dispatcher.seconds_to_sleep(time.monotonic()) <= 1.0
    dispatcher.look_at_changed()
    assert job.id in dispatcher.queued


def test_a_job_that_is_deleted_elsewhere_is_said_to_be_gone(server: Server, actions: Actions) -> None:
    job = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    assert 'id="job-head"' in server.get(f"/?job={job.id}&part=live").text
    actions.delete(job.id)
    gone = server.get(f"/?job={job.id}&part=live").text
    assert "does not exist" in gone and "data-final" in gone and 'class="verbs"' not in gone


def test_a_record_changed_all_the_time_still_gets_its_turn(configure: Callable[..., Actions]) -> None:
    actions = configure("slots = 1\nfsync = false\n")
    first = actions.submit({"command": {"type": "exec", "cmd": "true"}, "start": True})
    priority = 0
    with contextlib.suppress(WrongState):
        while True:
            priority = (priority + 1) % 1000
            actions.edit(first.id, {"priority": priority})
    assert wait_for_end(actions.store, first.id).status == "done"
