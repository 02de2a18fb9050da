"""What may become a job: options are checked against the settings, and against the code that is to run.

Everything that can refuse a job looks here, before anything is stored; whoever runs it looks again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from running_jobs import approved_commands, checks, looking, parameters, slurm_options, spec
from running_jobs.approval import refuse_unless_approved
from running_jobs.clocks import moment, wait_of
from running_jobs.dependencies import refuse_unknown
from running_jobs.errors import InvalidJob, InvalidWorker, NoSuchWorker, NotAllowed
from running_jobs.job import QUEUED, SLURM, Job
from running_jobs.settings import Settings
from running_jobs.store import JobStore
from running_jobs.workers import Workers

CALLBACKS = ("callback_done", "callback_failed")


class Admission:
    """Decides about the jobs of one data directory.

    `look_up` sees whether an approved class and its method exist; by default a process of its own does.
    """

    def __init__(self, settings: Settings, store: JobStore, look_up: Callable[[str, str], None] | None = None) -> None:
        self._settings = settings
        self._store = store
        self._workers = Workers(store.paths)
        self._look_up = look_up or partial(looking.look_for_method, settings)

    def template(self, options: Mapping[str, Any], by: str | None, cwd: str | None) -> Job:
        """Return the job that these options mean, still without an id. Raise InvalidJob, NotAllowed or NotApproved."""
        self.refuse_what_is_not_approved(options)
        template = spec.new_job(options, **self.defaults())
        if self._settings.allowed_commands:
            cwd = None  # where whoever asks happens to be says nothing to an approved command
        template.cwd = existing(checks.directory("cwd", template.cwd or cwd or "~"))
        template.owner = by
        asked = slurm_options.asked_by(template)
        self.refuse_wrong_executor(template.executor, asked)
        slurm_options.refuse_exclusive(asked)
        refuse_unknown(self._store, template.after)
        if template.status is QUEUED and template.delay:
            vars(template).update(self.delayed(template.delay))
        return template

    def copy(self, old: Job, by: str | None) -> Job:
        """Return a queued job, still without an id, with the specification of an old one. Raise as template does."""
        template = Job(id="", status=QUEUED, owner=by, **{name: getattr(old, name) for name in spec.AGAIN})
        self.refuse_what_is_not_approved(what_runs(old))
        if old.executor not in spec.EXECUTORS:  # somebody else ran it
            template.executor = self._settings.executor
        self.refuse_wrong_executor(template.executor)
        if self._settings.allowed_commands:
            template.cwd = checks.directory("cwd", "~")
        existing(template.cwd or "/")
        return template

    def refuse_to_start(self, job: Job) -> None:
        """Raise NotApproved or NotAllowed for an idle job that the settings do not let anybody run as it stands."""
        self.refuse_what_is_not_approved(what_runs(job))
        self.refuse_wrong_executor(job.executor)
        if self._settings.allowed_commands and job.cwd not in (None, checks.directory("cwd", "~")):
            raise NotAllowed(
                f"cwd: {job.cwd} was given before only approved commands ran (allowed_commands is set). "
                "Use 'again' to run a copy in the home directory."
            )

    def refuse_wrong_executor(self, executor: str, asked: Iterable[str] = ()) -> None:
        """Raise InvalidJob for Slurm where it is not set up, and for what is `asked` of it by a job that is not its."""
        if executor == SLURM and not self._settings.has_slurm:
            raise InvalidJob("executor", 'cannot be "slurm" here: add a table [slurm] to config.toml')
        for name in asked if executor != SLURM else ():
            raise InvalidJob(name, 'is for jobs that Slurm runs; give executor "slurm", too, or leave it out')

    def changes_of_executor(self, job: Job, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return what else changes with who runs a job: what it asked of Slurm, if that is somebody else now.

        Raise InvalidJob.
        """
        executor = changes.get("executor", job.executor)
        given = {name: changes[name] for name in slurm_options.CHECKS if changes.get(name) is not None}
        if given or "executor" in changes:
            self.refuse_wrong_executor(executor, given)
        if given and executor == SLURM:
            together = {
                **slurm_options.asked_by(job),
                **{name: changes[name] for name in slurm_options.CHECKS if name in changes},
            }
            slurm_options.refuse_exclusive({name: asked for name, asked in together.items() if asked is not None})
        return {} if executor == SLURM else dict.fromkeys(slurm_options.asked_by(job))

    def look_at_code(self, jobs: Sequence[Job]) -> list[bytes | None]:
        """See that what the jobs are to run is there and takes their parameters.

        Return for each the code that it is to keep when it is queued, None where there is none. Raise InvalidJob,
        NoSuchClass or NoSuchMethod.
        """
        called = [job.command for job in jobs if job.command["type"] == "method"]
        for name, method in dict.fromkeys((command["class"], command["method"]) for command in called):
            self._look_up(name, method)
        for job in jobs:
            if job.command["type"] == "approved":
                self._check_approved(job.command)
        named = dict.fromkeys(job.command["name"] for job in jobs if job.command["type"] == "worker")
        codes, schemas = self._codes_and_schemas(list(named))
        for job in jobs:
            if job.command["type"] == "worker" and (schema := schemas[job.command["name"]]):
                parameters.check_values("parameters", schema, job.command.get("parameters"))
        return [codes[job.command["name"]] if job.command["type"] == "worker" else None for job in jobs]

    def refuse_what_is_not_approved(self, options: Mapping[str, Any]) -> None:
        """Raise NotApproved or NotAllowed for what the settings do not let anybody run."""
        command = options.get("command")
        if isinstance(command, dict) and command.get("type") == "method":
            name, method = command.get("class"), command.get("method")
            if isinstance(name, str) and isinstance(method, str):  # else it is no command, as spec says
                refuse_unless_approved(name, method, self._settings.allowed_classes)
        if not self._settings.allowed_commands:
            return
        for name in ("command", *CALLBACKS):
            asked = options.get(name)
            if isinstance(asked, dict) and asked.get("type") == "exec":
                raise NotAllowed(f"{name}: only approved commands run here (allowed_commands is set), no shell lines.")
        for name in ("env", "cwd", "slurm_args"):
            if options.get(name):
                raise NotAllowed(f"{name} cannot be given where only approved commands run (allowed_commands is set).")

    def defaults(self) -> dict[str, Any]:
        """Return what the settings say for jobs that do not."""
        settings = self._settings
        return {
            "timeout": settings.timeout,
            "retries": settings.max_retries,
            "retry_delay": settings.retry_delay,
            "executor": settings.executor,
        }

    def delayed(self, seconds: float) -> dict[str, Any]:
        """Return the fields that have a job wait for so long from now on."""
        return wait_of(seconds, moment(self._store.clock())) if seconds else {}

    def _check_approved(self, command: dict[str, Any]) -> None:
        found = approved_commands.find_command(self._settings.allowed_commands, "command.name", command["name"])
        found.check("parameters", command.get("parameters"))

    def _codes_and_schemas(self, names: list[str]) -> tuple[dict[str, bytes], dict[str, list[parameters.Parameter]]]:
        """Return the code of each worker, and what that same code says that it takes."""
        codes = {name: self._code_of(name) for name in names}
        while True:
            schemas = {name: self.schema_of(name) for name in names}
            read_again = {name: self._code_of(name) for name in names}
            if read_again == codes:
                return codes, schemas
            codes = read_again  # saved meanwhile

    def _code_of(self, name: str) -> bytes:
        try:
            return self._workers.code(name)
        except (NoSuchWorker, InvalidWorker) as error:
            raise InvalidJob("worker", str(error)) from None

    def schema_of(self, name: str) -> list[parameters.Parameter]:
        """Return what a worker says that it takes; nothing if it does not, or cannot be imported: its job will tell.

        Raise InvalidJob if there is no such worker.
        """
        self._code_of(name)
        answer = looking.describe_worker(self._settings, name, self._workers.path(name))
        return schema_in(answer.get("information"))


def schema_in(information: Any) -> list[parameters.Parameter]:
    """Return the schema in what a worker says of itself; none if there is none that can be read."""
    try:
        return _read_schema_in(information)
    except parameters.InvalidSchema:
        return []


def problem_in(information: Any) -> str | None:
    """Say why what a worker says of itself cannot be used to check parameters; None if it can."""
    try:
        _read_schema_in(information)
    except parameters.InvalidSchema as error:
        return f"its parameters are not checked, get_information() does not say what they are: {error}"
    return None


def _read_schema_in(information: Any) -> list[parameters.Parameter]:
    if not isinstance(information, Mapping):
        raise parameters.InvalidSchema("expected an object with description and parameters")
    return parameters.read_schema(information.get("parameters") or [])


def what_runs(job: Job) -> dict[str, Any]:
    """Return those of a job's options that the settings may forbid."""
    return {name: getattr(job, name) for name in ("command", *CALLBACKS, "env", "slurm_args")}


def existing(path: str) -> str:
    """Return the path of a directory. Raise InvalidJob if there is none."""
    if not os.path.isdir(path):
        raise InvalidJob("cwd", f"the directory {path} does not exist")
    return path
