"""The server: waitress around the application, the dispatcher's keeper, and the checks before it starts."""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import logging
import os
import sys
import threading
import time
from dataclasses import replace

import psutil

from running_jobs import cores
from running_jobs.errors import DispatcherFailed, InvalidSettings, JobsError, LockTimeout
from running_jobs.settings import Settings
from running_jobs.web.application import build_app
from running_jobs.web.auth import users_of
from running_jobs.web.connections import listen
from running_jobs.web.parts import Parts

LOOK_EVERY_S = 2.0
READ_FOR_S = 0.01
PRUNE_EVERY_S = 3600.0
_M_ARENA_MAX = -8

log = logging.getLogger("running_jobs")


def serve(settings: Settings, host: str | None, port: int | None, no_auth: bool) -> None:
    """Serve until interrupted. Raise InvalidSettings if it would be open to others without a user."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a short queue is no news
    _keep_one_heap()
    settings = replace(settings, host=host or settings.host, port=port or settings.port)
    _refuse_open_doors(settings, no_auth)
    cores.share_one(psutil.Process().cpu_num())
    app = build_app(settings)
    parts: Parts = app.extensions["running_jobs"]
    try:
        server = listen(app, settings.host, settings.port)
    except (OSError, ValueError) as error:  # ValueError: a name that does not resolve
        why = getattr(error, "strerror", None) or error
        message = f"expected an address that is free here, found {settings.host}:{settings.port} ({why})"
        raise InvalidSettings("serve", "host and port", message) from None
    _say_how_it_stands(settings)
    try:
        parts.actions.replace_dispatcher()
    except DispatcherFailed as error:  # a disk that is read-only: what is there can still be looked at
        log.error("%s", error)
    except LockTimeout:  # it is stopped, or not to be known for who it is
        log.error(
            "The dispatcher that lives has not left. Until it does, jobs start with its settings, if it starts any."
        )
    threading.Thread(target=_keep_dispatcher, args=(parts,), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        server.run()


def _keep_one_heap() -> None:
    """Have all threads share one heap of the C library (mallopt(3)).

    It would make one for each thread otherwise and give hardly anything back: 25 MB more after some long logs. The
    interpreter's lock lets one thread at a time allocate anyway.
    """
    with contextlib.suppress(AttributeError, OSError):  # a C library without it
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _keep_dispatcher(parts: Parts) -> None:
    """Start a dispatcher whenever there is work and none lives.

    At first, mark the jobs that are not settled and whose markers are missing: the dispatcher looks at those alone, and
    files may have been laid there by hand or from a backup.
    """
    with contextlib.suppress(JobsError, OSError):
        while not parts.index.read_on(READ_FOR_S):
            time.sleep(READ_FOR_S / 4)  # whoever waits for the listing gets it meanwhile
        for job_id in parts.index.unsettled_ids():
            with contextlib.suppress(OSError):  # somebody laid a folder in its place: that is a marker too
                parts.store.mark_open(job_id)
    prunes = parts.settings.keep_days > 0 or parts.settings.keep_jobs > 0
    prune_at = time.monotonic() + PRUNE_EVERY_S
    while True:
        time.sleep(LOOK_EVERY_S)
        try:
            is_time_to_prune = prunes and time.monotonic() >= prune_at
            if is_time_to_prune:  # jobs expire too while nothing is launched for days: a dispatcher prunes at its start
                prune_at = time.monotonic() + PRUNE_EVERY_S
            if is_time_to_prune or parts.index.has_work():
                parts.actions.ensure_dispatcher()
        except Exception:
            log.exception("The dispatcher could not be looked after; trying again")


def _refuse_open_doors(settings: Settings, no_auth: bool) -> None:
    if not users_of(settings) and not no_auth and not _is_loopback(settings.host):
        problem = (
            f"{settings.host} is reachable by others and no user is set. Set user and password (`app.py password` "
            "makes a hash), or say --no-auth if something else guards it"
        )
        raise InvalidSettings("serve", "host", problem)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _say_how_it_stands(settings: Settings) -> None:
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    with contextlib.suppress(OSError):  # into a file on a full disk
        print(f"Running Jobs: http://{shown}:{settings.port}{settings.url_prefix}/", flush=True)
    if not users_of(settings):
        log.warning("No user is set: whoever reaches %s:%s can run commands.", settings.host, settings.port)
    if kills_jobs_with_the_unit():
        log.warning(
            "This systemd unit's KillMode would kill every job when the server stops or restarts. "
            "Set KillMode=process in it (see deploy/running-jobs.service)."
        )


def kills_jobs_with_the_unit() -> bool:
    """Say whether we run in a systemd service whose stop would end the jobs with the server."""
    unit = unit_of_cgroup(_own_cgroup()) if "INVOCATION_ID" in os.environ else None
    if unit is None:
        return False
    import subprocess

    with contextlib.suppress(OSError, subprocess.SubprocessError), cores.use_all():
        manager = ["--user"] if "/user@" in _own_cgroup() else []
        asked = ["systemctl", *manager, "show", "-p", "KillMode", "--value", unit]
        shown = subprocess.run(asked, capture_output=True, timeout=5)  # noqa: S603 - no word of it is a user's
        return shown.stdout.strip() in (b"control-group", b"mixed")
    return False


def unit_of_cgroup(cgroup: str) -> str | None:
    """Return the service that a line of /proc/self/cgroup names, or None."""
    last = cgroup.strip().rpartition("/")[2]
    return last if last.endswith(".service") else None


def _own_cgroup() -> str:
    with contextlib.suppress(OSError), open("/proc/self/cgroup") as file:
        return file.read().splitlines()[-1]
    return ""
