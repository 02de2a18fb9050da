"""What a job or the settings may ask of Slurm, checked, and the arguments for sbatch made from it. Pure.

Each check takes the field's name and the value, returns it as a job holds it, or raises InvalidJob. What they let pass
cannot become another option of sbatch, nor one of those by which Running Jobs hands a job over and knows it again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from running_jobs.checks import WholeNumber, kind, text
from running_jobs.errors import InvalidJob
from running_jobs.job import Job
from running_jobs.settings import Settings

MAX_CPUS = 1_000_000
MAX_NUMBER = 999_999
MAX_ARGS = 100
MAX_ARG = 1000

NAME = r"[^\s,=\u0000-\u001f\u007f-][^\s\u0000-\u001f\u007f]{0,199}"
MEMORY = r"[0-9]{1,12}[KMGTkmgt]?"
GPUS = r"(?:[A-Za-z0-9_.-]{1,60}:)?[0-9]{1,6}(?:,[A-Za-z0-9_.-]{1,60}:[0-9]{1,6}){0,9}"
TIME = r"[0-9]{1,8}(?::[0-9]{1,2}){0,2}|[0-9]{1,6}-[0-9]{1,2}(?::[0-9]{1,2}){0,2}"
LONG = re.compile(r"--([A-Za-z][A-Za-z0-9-]{1,60})(=.*)?", re.DOTALL)
SHORT = re.compile(r"-(?:[OQsvk]|[BCFLSNmnwx].+)", re.DOTALL)  # alone: of several in one, any might be ours

FLAGS = {
    "partition": "partition", "account": "account", "qos": "qos", "cpus": "cpus-per-task", "mem": "mem",
    "gpus": "gpus", "time": "time",
}  # fmt: skip
# What no further argument may ask for, and what to use instead: nothing for what Running Jobs itself relies on.
_OURS = {
    **{flag: f"the option {name}" for name, flag in FLAGS.items()},
    "begin": "the option delay or at", "dependency": "the option after", "hold": "a job that is not started yet",
    "job-name": "the option name", "nice": "the option priority", "chdir": "the option cwd",
    "export": "the option env", "requeue": "the option retries",
    **dict.fromkeys((
        "array", "clusters", "comment", "error", "export-file", "get-user-env", "gid", "help", "ignore-pbs", "input",
        "kill-on-invalid-dep", "no-requeue", "open-mode", "output", "parsable", "signal", "test-only", "uid", "usage",
        "version", "wait", "wrap",
    )),
}  # fmt: skip
_SHORT_FORMS = {
    "p": "partition", "A": "account", "q": "qos", "G": "gpus", "t": "time", "c": "cpus-per-task", "b": "begin",
    "d": "dependency", "H": "hold", "J": "job-name", "D": "chdir", "a": "array", "M": "clusters", "e": "error",
    "h": "help", "i": "input", "o": "output", "V": "version", "W": "wait",
}  # fmt: skip
# Those of the others that take the next argument for their value where they are given none.
_NEED_VALUES = (
    "acctg-freq", "batch", "bb", "bbf", "cluster-constraint", "constraint", "container", "core-spec",
    "cores-per-socket", "cpu-freq", "cpus-per-gpu", "deadline", "delay-boot", "distribution", "exclude",
    "extra-node-info", "gpu-bind", "gpu-freq", "gpus-per-node", "gpus-per-socket", "gpus-per-task", "gres",
    "gres-flags", "hint", "licenses", "mail-type", "mail-user", "mcs-label", "mem-bind", "mem-per-cpu", "mem-per-gpu",
    "mincpus", "network", "nodefile", "nodelist", "nodes", "ntasks", "ntasks-per-core", "ntasks-per-gpu",
    "ntasks-per-node", "ntasks-per-socket", "power", "prefer", "priority", "profile", "reservation",
    "segment", "sockets-per-node", "switches", "thread-spec", "threads-per-core", "time-min", "tmp", "tres-bind",
    "tres-per-task", "wait-all-nodes", "wckey",
)  # fmt: skip
_EXCLUSIVE = {
    "mem": ("mem-per-cpu", "mem-per-gpu"),
    "cpus": ("cpus-per-gpu",),
}  # of each option and these sbatch takes one
_GPUS = ("gpus-per-node", "gpus-per-socket", "gpus-per-task")
_GRES_OF_GPUS = re.compile(r"(?:gres[:/])?gpu(?:[:=]|$)")


class Pattern:
    """A check for texts of one form, which it can be asked for; with `numbers` whole numbers are taken as such."""

    def __init__(self, pattern: str, expected: str, numbers: bool = False) -> None:
        self.pattern = pattern
        self.numbers = numbers
        self.expected = expected

    def __call__(self, field: str, value: object) -> str:
        """Return a text of this form. Raise InvalidJob."""
        if self.numbers and isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_NUMBER:
            return str(value)
        if not isinstance(value, str):
            raise InvalidJob(field, f"expected {self.expected}, found {kind(value)}")
        if not re.fullmatch(self.pattern, text(field, value)):
            raise InvalidJob(field, f"expected {self.expected}, found {value!r}"[:300])
        return value


def arguments_for_sbatch(field: str, value: object) -> list[str]:
    """Return further arguments for sbatch, each an option with its value. Raise InvalidJob."""
    if not isinstance(value, list):
        raise InvalidJob(field, f"expected a list of texts, found {kind(value)}")
    if len(value) > MAX_ARGS:
        raise InvalidJob(field, f"expected at most {MAX_ARGS} arguments, found {len(value)}")
    return [_argument(field, item) for item in value]


def _argument(field: str, value: object) -> str:
    item = text(field, value)
    if len(item) > MAX_ARG:
        raise InvalidJob(field, f"expected at most {MAX_ARG} characters in each, found {len(item)}")
    if long := LONG.fullmatch(item):
        _refuse_what_is_ours(field, item, long[1])
        if long[2] is None and any(name.startswith(long[1]) for name in _NEED_VALUES):
            raise InvalidJob(field, f"{item!r} needs a value, in the same text: {item}=...")
    elif item[:1] == "-" and item[1:2] in _SHORT_FORMS:
        _refuse_what_is_ours(field, item, _SHORT_FORMS[item[1]])
    elif not SHORT.fullmatch(item):
        raise InvalidJob(field, f"expected an option with its value in one text, as --nodes=2; found {item[:60]!r}")
    return item


def _refuse_what_is_ours(field: str, item: str, name: str) -> None:
    for ours, instead in _OURS.items():
        if ours.startswith(name):  # sbatch takes the begin of a name for all of it: --arr=3
            advice = f"use {instead}" if instead else f"Running Jobs relies on what it says for --{ours} itself"
            raise InvalidJob(field, f"{item[:60]!r} cannot be given; {advice}")


_FORM = "without spaces, that does not begin with a hyphen"
CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "partition": Pattern(NAME, f"the name of a partition {_FORM}"),
    "account": Pattern(NAME, f"the name of an account {_FORM}"),
    "qos": Pattern(NAME, f"the name of a QOS {_FORM}"),
    "cpus": WholeNumber(1, MAX_CPUS),
    "mem": Pattern(MEMORY, 'a text with a whole number and K, M, G or T, as "4G"'),
    "gpus": Pattern(GPUS, 'how many, with or without their type, as "1" or "a100:2"', numbers=True),
    "time": Pattern(TIME, 'a text with minutes, "HH:MM:SS", "D-HH:MM" or the like, as "90" or "1-12:00"'),
    "slurm_args": arguments_for_sbatch,
}
OF_SETTINGS: dict[str, Callable[[str, Any], Any]] = {
    **{name: check for name, check in CHECKS.items() if name != "slurm_args"},
    "args": arguments_for_sbatch,
    "slots": WholeNumber(0, 1_000_000),
    "nice": WholeNumber(0, 1_000_000),  # of jobs with the default priority: room for more urgent ones above them
}


def check_settings(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table [slurm] of the settings, with `slots` if it has none. Raise InvalidJob naming the key."""
    for key in value:
        if key not in OF_SETTINGS:
            raise InvalidJob(key[:40], f"is not known; known are {', '.join(OF_SETTINGS)}")
    checked = {key: OF_SETTINGS[key](key, item) for key, item in value.items()}
    refuse_exclusive(checked, "args")
    return {"slots": 0, **checked}


def refuse_exclusive(asked: Mapping[str, Any], field: str = "slurm_args") -> None:
    """Raise InvalidJob for options of which sbatch takes one; `field` holds the further arguments among them."""
    for name, others in _EXCLUSIVE.items():
        given = [item for item in asked.get(field, ()) if isinstance(item, str) and _is_one_of(item, others)]
        if name in asked and given:
            raise InvalidJob(field, f"{given[0][:60]!r} cannot be given together with {name}; leave one out")
        kinds = [other for other in others if any(_is_one_of(item, (other,)) for item in given)]
        if len(kinds) > 1:
            raise InvalidJob(field, f"--{kinds[0]} and --{kinds[1]} exclude each other; leave one out")


def _is_one_of(item: str, names: Iterable[str]) -> bool:
    """Say whether sbatch may take an argument for one of these options: the begin of a name will do."""
    long = LONG.fullmatch(item)
    return long is not None and any(name.startswith(long[1]) for name in names)


def asked_by(job: Job) -> dict[str, Any]:
    """Return what a job itself asks of Slurm, by the names of its options."""
    return {name: asked for name in CHECKS if (asked := getattr(job, name)) is not None}


def asked_for(asked: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return what Slurm is asked for a job: what the job itself asks, what [slurm] says where it does not, and all
    further arguments. Of what excludes each other, what the job itself asks counts."""
    own_args = [item for item in asked.get("slurm_args", ()) if isinstance(item, str)]  # else edited by hand
    args = list(settings.slurm.get("args", []))
    found = {name: settings.slurm[name] for name in FLAGS if name in settings.slurm}
    for name, others in _EXCLUSIVE.items():
        is_said_otherwise = any(_is_one_of(item, others) for item in own_args)
        if is_said_otherwise:
            found.pop(name, None)
        if is_said_otherwise or name in asked:
            args = [item for item in args if not _is_one_of(item, others)]
    found.update((name, asked[name]) for name in FLAGS if name in asked)
    if not found.get("gpus", "0").strip("0"):
        found.pop("gpus", None)  # how a job says that it wants none of those that [slurm] asks for
        args = _without_gpus(args) if "gpus" in asked else args
    return {**found, "slurm_args": [*args, *own_args]}


def _without_gpus(args: Iterable[str]) -> list[str]:
    kept = []
    for item in args:
        if item.startswith("--gres="):
            others = [part for part in item[len("--gres=") :].split(",") if not _GRES_OF_GPUS.match(part)]
            kept += [f"--gres={','.join(others)}"] if others else []
        elif not _is_one_of(item, _GPUS):
            kept.append(item)
    return kept


def arguments(job: Job, settings: Settings) -> list[str]:
    """Return the arguments for sbatch that a job's options mean, and those of [slurm] where it has none.

    Raise InvalidJob for options that somebody edited by hand into what would not have been taken.
    """
    own = {name: CHECKS[name](name, value) for name, value in asked_by(job).items()}
    refuse_exclusive(own)
    asked = asked_for(own, settings)
    flags = [f"--{flag}={asked[name]}" for name, flag in FLAGS.items() if name in asked]
    return [*flags, *asked["slurm_args"]]
