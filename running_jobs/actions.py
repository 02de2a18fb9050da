"""The verbs. Every face (web, API, command line) calls these, and nothing else changes a job.

Each verb says who asked (`by`, None where nobody is known). Knows no HTTP and no terminal.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from running_jobs import checks, logs, spec
from running_jobs.admission import Admission, existing
from running_jobs.dependencies import refuse_circle
from running_jobs.errors import DispatcherFailed, InvalidJob, StorageFailed, WrongState
from running_jobs.job import ACTIVE, DONE, ERROR, IDLE, QUEUED, STOP, WAITING, Job, JobStatus, to_iso
from running_jobs.parameters import Parameter
from running_jobs.processes import LOOK_AGAIN, boot_id, send_signal
from running_jobs.settings import Settings
from running_jobs.store import JobStore
from running_jobs.wake import announce, dispatcher_lives, ensure_dispatcher, poke, replace_dispatcher, wake_dispatcher

MAX_PID = 1 << 22
IN_A_WHILE_S = 0.4  # a runner that is done is kept for a little longer


class Actions:
    """What can be done with the jobs of one data directory."""

    def __init__(
        self,
        settings: Settings,
        store: JobStore | None = None,
        look_up: Callable[[str, str], None] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        """`look_up` sees whether an approved class and its method exist; by default a process of its own does.

        `warn` is told, as the log of errors is, that nobody could be had who starts jobs: what was asked for stands.
        """
        self.settings = settings
        self._warn = warn
        self._announce_from = 0.0
        self.store = store or JobStore.of(settings)
        self._admission = Admission(settings, self.store, look_up)

    # --- jobs

    def submit(self, options: Mapping[str, Any], by: str | None = None, cwd: str | None = None) -> Job:
        """Store a new job, and queue it if `start` is true among its options.

        `cwd` is where it runs if the options do not say; HOME if neither does. Raise InvalidJob or NotAllowed, or
        NotApproved, NoSuchClass or NoSuchMethod of a class's method, with nothing stored.
        """
        return self._store_new([self._admission.template(options, by, cwd)], by)[0]

    def submit_all(self, payloads: Sequence[Mapping[str, Any]], by: str | None = None) -> list[Job]:
        """Store new jobs, all or none. Raise as submit does, naming which of them it is that cannot be."""
        templates = []
        for number, options in enumerate(payloads):
            try:
                templates.append(self._admission.template(options, by, None))
            except InvalidJob as error:
                raise InvalidJob(f"[{number}].{error.field}", error.problem) from None
        return self._store_new(templates, by)

    def check(self, options: Mapping[str, Any], by: str | None = None) -> None:
        """Raise as submit does for what cannot be a job; nothing is stored either way."""
        self._admission.look_at_code([self._admission.template(options, by, None)])

    def again(self, job_id: str, by: str | None = None) -> Job:
        """Queue a new job with the specification of an old one. Raise NoSuchJob, InvalidJob or NotAllowed."""
        old = self.store.get(job_id)
        return self._store_new([self._admission.copy(old, by)], by)[0]

    def schema_of_worker(self, name: str) -> list[Parameter]:
        """Return the parameters that a worker declares, none if it declares none. Raise InvalidJob if there is none."""
        return self._admission.schema_of(name)

    def start(self, job_id: str, by: str | None = None) -> Job:
        """Queue an idle job. A job that is queued or active already stays so. Raise WrongState if it is final.

        Raise as submit does if it may not run now, or what it is to run is not there any more.
        """
        job = self.store.get(job_id)
        code = None
        if job.status is IDLE:
            self._admission.refuse_to_start(job)  # the settings may have changed since
            [code] = self._admission.look_at_code([job])

        def decide(job: Job) -> dict[str, Any] | None:
            if job.is_final:
                raise WrongState(job.id, job.status, "only idle jobs can be started. Use 'again' to run a copy.")
            if job.status is not IDLE:
                return None
            if code is not None:
                self.store.keep_code(job_id, code)
            return {"status": QUEUED, "queued_at": self._now(), **self._admission.delayed(job.delay)}

        job = self.store.update(job_id, decide, _by("started", by)) or self.store.get(job_id)
        self.wake()
        return job

    def stop(self, job_id: str, by: str | None = None) -> Job:
        """Ask a job to end: SIGTERM to all its processes, SIGKILL after the grace. Raise WrongState if it has ended."""
        return self._end("stop", job_id, by)

    def kill(self, job_id: str, by: str | None = None) -> Job:
        """End a job at once: SIGKILL to all its processes. Raise WrongState if it has ended."""
        return self._end("kill", job_id, by)

    def delete(self, job_id: str, by: str | None = None) -> None:
        """Delete a job with all its files. Raise WrongState while it is active."""
        self.store.delete(job_id, _by("deleted", by))
        poke(self.store.paths)  # others may have waited for it: then a dispatcher lives

    def edit(self, job_id: str, options: Mapping[str, Any], by: str | None = None) -> Job:
        """Change options of a job that is not active yet. Raise InvalidJob, NotAllowed or WrongState."""
        if "command" in options or "start" in options:
            raise InvalidJob("command" if "command" in options else "start", "cannot be changed; submit another job")
        if not options:
            raise InvalidJob("options", "are missing; name one that is to be changed")
        self._admission.refuse_what_is_not_approved(options)
        defaults = {
            name: value for name, value in self._admission.defaults().items() if options.get(name, value) is None
        }
        changes = {**spec.check_options(options), **defaults}
        if changes.get("cwd"):
            existing(changes["cwd"])
        after = changes.get("after", [])

        def decide(job: Job) -> dict[str, Any]:
            if job.status not in WAITING:
                raise WrongState(job.id, job.status, "only idle and queued jobs can be changed.")
            if changes.get("retries", job.attempt) < job.attempt:
                raise InvalidJob(
                    "retries", f"expected at least {job.attempt}, attempt {job.attempt + 1} is to come; or stop it"
                )
            refuse_circle(self.store, job_id, after)  # under the lock: nobody closes it meanwhile
            found = dict(changes)
            found |= self._admission.changes_of_executor(job, changes)
            if "delay" in options and not options.get("at"):
                found |= {"not_before": None, "timer": None}
                found |= self._admission.delayed(changes["delay"]) if job.status is QUEUED else {}
            return found

        job = self.store.update(job_id, decide, _by(f"changed {', '.join(options)}", by), is_wish=True)
        self.wake()
        return job or self.store.get(job_id)

    # --- jobs that somebody else runs

    def report(self, job_id: str, status: JobStatus, by: str | None = None) -> Job:
        """Record what became of an idle job that somebody else runs: active, done or error.

        From the first report on it is theirs. Raise WrongState if it is ours or has ended, InvalidJob for other
        statuses.
        """
        if status not in (ACTIVE, DONE, ERROR):
            raise InvalidJob("status", f"expected active, done or error to be reported, found {status}")

        def decide(job: Job) -> dict[str, Any] | None:
            if job.status is ACTIVE and job.runs_elsewhere and status is ACTIVE:
                return None
            if job.status is not IDLE and not (job.status is ACTIVE and job.runs_elsewhere):
                raise WrongState(
                    job.id, job.status, f"{status} can only be reported of an idle job or one run elsewhere."
                )
            now = self._now()
            changes = {"status": status, "executor": "elsewhere", "started_at": job.started_at or now}
            if status is ACTIVE:
                return changes
            return {**changes, "ended_at": now, "reason": _by(f"reported {status}", by)}

        job = self.store.update(job_id, decide)
        if job is None:
            return self.store.get(job_id)
        if job.is_final:  # others may wait for it, and callbacks are to be made
            self.wake()
        return job

    def set_pid(self, job_id: str, pid: int, by: str | None = None) -> Job:
        """Record the pid of an idle job, or of one that somebody else runs. Raise InvalidJob or WrongState."""
        if not 0 < pid <= MAX_PID:
            raise InvalidJob("pid", f"expected 1 to {MAX_PID}, found {pid}")

        def decide(job: Job) -> dict[str, Any]:
            if job.status is not IDLE and not (job.status is ACTIVE and job.runs_elsewhere):
                raise WrongState(job.id, job.status, "a pid can only be set on an idle job or one run elsewhere.")
            return {"pid": pid, "pid_started": None}

        return self.store.update(job_id, decide, _by(f"pid {pid}", by)) or self.store.get(job_id)

    def add_log(self, job_id: str, entry: str) -> None:
        """Append an entry to a job's out."""
        self._add(self.store.paths.out, job_id, "log", entry)

    def add_response(self, job_id: str, entry: str) -> None:
        """Append an entry to a job's response."""
        self._add(self.store.paths.response, job_id, "response", entry)

    # --- the directory

    def pause(self, paused: bool) -> None:
        """Start nothing new (running jobs go on), or start again."""
        self.store.prepare()
        self.store.pause(paused)
        self.wake()

    def wake(self) -> None:
        """Have the dispatcher look, and start one where none is.

        What was changed before stands even if that fails now: it is noted, and the next one who looks tries again.
        """
        self._keep_going(wake_dispatcher)

    def ensure_dispatcher(self) -> None:
        """Start a dispatcher where none lives."""
        if not dispatcher_lives(self.store.paths):
            self._keep_going(ensure_dispatcher)

    def replace_dispatcher(self) -> None:
        """Have a dispatcher with our settings and code, whoever started the one that lives."""
        _reap_later(replace_dispatcher(self.settings))

    # --- parts

    def _keep_going(self, start: Callable[[Settings], int | None]) -> None:
        try:
            _reap_later(start(self.settings))
        except (DispatcherFailed, StorageFailed, OSError) as error:
            if self._warn:
                self._warn(str(error))
            self.store.note_error(str(error))

    def _store_new(self, templates: Sequence[Job], by: str | None) -> list[Job]:
        codes = self._admission.look_at_code(templates)
        kept = [code if job.status is QUEUED else None for job, code in zip(templates, codes)]
        self._announce(templates)
        jobs = self.store.create_all(templates, _by("submitted", by), kept)
        if any(job.status is QUEUED for job in jobs):
            self.wake()
        return jobs

    def _announce(self, templates: Sequence[Job]) -> None:
        """Have a runner made ready while the first job in a while is stored; later ones find those of the others."""
        if any(map(_may_start_at_once, templates)):
            now = time.monotonic()
            if now >= self._announce_from:
                announce(self.store.paths)
            self._announce_from = now + IN_A_WHILE_S

    def _end(self, verb: str, job_id: str, by: str | None) -> Job:
        def decide(job: Job) -> dict[str, Any] | None:
            if job.is_final:
                raise WrongState(job.id, job.status, f"it has ended already: {job.reason}.")
            if job.status in WAITING or job.runs_elsewhere:
                when = "" if job.status is ACTIVE else _before_what(job)
                reason = _by("stopped" if verb == "stop" else "killed", by) + when
                return {"status": STOP, "ended_at": self._now(), "reason": reason}
            if job.asked and job.asked.get("verb") in (verb, "kill"):
                return None
            return {"asked": {"verb": verb, "by": by, "at": self._now()}}

        job = self.store.update(job_id, decide, _by(f"{verb} asked", by)) or self.store.get(job_id)
        is_here = job.boot_id == boot_id() and not job.is_slurms
        if job.status is ACTIVE and job.pid and job.pid_started is not None and is_here:
            send_signal(job.pid, job.pid_started, LOOK_AGAIN)
        self.wake()
        return job

    def _add(self, path_of: Callable[[str], str], job_id: str, field: str, entry: str) -> None:
        checks.text(field, entry)
        self.store.get(job_id)
        logs.append_entry(path_of(job_id), entry)

    def _now(self) -> str:
        return to_iso(self.store.clock())


def _before_what(job: Job) -> str:
    return f" before attempt {job.attempt + 1}" if job.attempt else " before it started"


def _may_start_at_once(job: Job) -> bool:
    return job.status is QUEUED and not job.not_before and not job.after and not job.is_slurms


def _by(what: str, by: str | None) -> str:
    return f"{what} by {by}" if by else what


def _reap_later(pid: int | None) -> None:
    """Wait for a started process without making anyone wait: it ends as soon as it has forked."""
    if pid is not None:
        threading.Thread(target=os.waitpid, args=(pid, 0), daemon=True).start()
