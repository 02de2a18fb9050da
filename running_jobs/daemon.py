"""Becoming the dispatcher: settings and lock taken over, terminal and whatever else was inherited left behind."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import sys
import traceback

from running_jobs import files
from running_jobs.dispatcher import Dispatcher
from running_jobs.engine import settings_handed_over
from running_jobs.errors import LockTimeout
from running_jobs.rehearsal import rehearse
from running_jobs.settings import load_settings
from running_jobs.store import JobStore
from running_jobs.wake import REPLACE_WAIT_S, sign

GIVEN_LOCK = 3


def main(data: str) -> None:
    """Be the dispatcher of a data directory in this process, which was started for it and ends with it."""
    gc.disable()  # from the start: what it frees leaves holes, and each runner would fill them with pages of its own
    settings = settings_handed_over() or load_settings(data)
    store = JobStore.of(settings)
    lock = _take_lock(store)
    if lock is None:
        return
    os.chdir("/")
    os.umask(0o077)
    _detach_from_terminal()
    os.closerange(lock + 1, 1 << 20)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a descriptor for each runner; commands get theirs back
    try:
        dispatcher = Dispatcher(store, settings, lock)
        sign(lock)
        rehearse(settings)
        gc.freeze()  # the collector's marks would copy every page that runners share
        dispatcher.run()
    except BaseException:
        store.note_error(f"The dispatcher failed: {traceback.format_exc()}")
        raise


def _take_lock(store: JobStore) -> int | None:
    """Return the open file whose lock is ours: handed down by who started us, or waited for. None if another has it."""
    with contextlib.suppress(OSError):
        if files.names_file(store.paths.dispatcher_lock, GIVEN_LOCK) and files.try_lock(GIVEN_LOCK):
            os.set_inheritable(GIVEN_LOCK, False)
            return GIVEN_LOCK
    store.prepare()
    lock = files.open_private(store.paths.dispatcher_lock, os.O_RDWR | os.O_CREAT)
    try:
        files.wait_for_lock(lock, store.paths.dispatcher_lock, REPLACE_WAIT_S)
    except LockTimeout as error:
        sys.stderr.write(f"{error}\n")
        return None
    return lock


def _detach_from_terminal() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
