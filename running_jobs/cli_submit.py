"""The commands that queue jobs, with the options they share, and what the other commands need of them.

Exits and messages are as `cli` says.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from typing import Any

import click

from running_jobs import cli_output as output
from running_jobs.actions import Actions
from running_jobs.admission import CALLBACKS
from running_jobs.option_texts import read_option
from running_jobs.settings import load_settings


def actions_of(context: click.Context) -> Actions:
    """Return the verbs on the data directory that the command line names."""
    actions = Actions(load_settings(context.obj), warn=_warn)
    actions.store.prepare()
    return actions


def _warn(problem: str) -> None:
    click.echo(f"Warning: {problem}", err=True)


def me() -> str:
    """Return who asks, as jobs name them: as getpass.getuser does, whose module imports what only passwords need."""
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        if name := os.environ.get(variable):
            return name
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a uid without a name
        return f"uid {os.getuid()}"


def _here(path: str = "") -> str:
    """Return the current directory, or an empty text if the path needs none."""
    if os.path.isabs(os.path.expanduser(path)):
        return ""
    try:
        return os.getcwd()
    except OSError:
        raise click.ClickException("The current directory is gone; go to another or give --cwd.") from None


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _pairs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = dict(value.split("=", 1) for value in values if "=" in value)
    if len([value for value in values if "=" not in value]):
        raise click.BadParameter("expected NAME=VALUE")
    return pairs


_OPTIONS = (
    click.option("--name", help="What to call it."),
    click.option("--context", "context_name", help="The group it belongs to."),
    click.option("--priority", type=int, help="Higher first; default 500."),
    click.option("--delay", type=float, metavar="SECONDS", help="Start it after so many seconds."),
    click.option("--at", metavar="TIME", help="Start it then: 2026-11-21T20:30, local time unless a zone is given."),
    click.option("--retries", type=int, help="How often to try again after a failed attempt."),
    click.option("--retry-delay", type=float, metavar="SECONDS", help="How long to wait before that."),
    click.option("--after", multiple=True, metavar="ID", help="Start it once this job is done; may be repeated."),
    click.option("--timeout", type=float, help="End it after so many seconds."),
    click.option("--cwd", help="Where to run it; default: here."),
    click.option("--env", multiple=True, callback=_pairs, metavar="K=V", help="A variable for it; may be repeated."),
    click.option("--nice", type=click.IntRange(-20, 19), help="Its niceness."),
    click.option("--progress-pattern", metavar="REGEX", help="What in its output says how far it is."),
    click.option("--callback-done", metavar="URL-or-JSON", help="What to call after its end, whatever the end."),
    click.option("--callback-failed", metavar="URL-or-JSON", help="What to call after an error."),
    click.option("--executor", type=click.Choice(["local", "slurm"]), help="Who runs it."),
    click.option("--partition", help="On Slurm: the partition."),
    click.option("--account", help="On Slurm: the account."),
    click.option("--qos", help="On Slurm: the quality of service."),
    click.option("--cpus", type=int, help="On Slurm: how many CPUs."),
    click.option("--mem", metavar="SIZE", help="On Slurm: how much memory, as 4G."),
    click.option("--gpus", metavar="[TYPE:]N", help="On Slurm: how many GPUs."),
    click.option("--time", metavar="LIMIT", help="On Slurm: the time limit; minutes, HH:MM:SS or D-HH:MM."),
    click.option(
        "--slurm-arg", "slurm_args", multiple=True, metavar="OPTION", help="For sbatch, as --nodes=2; may be repeated."
    ),
    click.option("--hold", is_flag=True, help="Only create it; start it later with `start`."),
    click.option(
        "--wait", is_flag=True, help="Stay, copy its output through, exit with its exit code (128+n after a signal)."
    ),
    as_json,
)


def _submits(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command all options of a job."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command(context_settings={"allow_interspersed_args": False})
@_submits
@click.argument("command", nargs=-1, required=True, metavar="[--] CMD...")
@click.pass_context
def run(context: click.Context, /, command: tuple[str, ...], **options: Any) -> None:
    """Queue a command and print its id. One argument is a shell line; several are quoted and joined."""
    line = command[0] if len(command) == 1 else shlex.join(command)
    _submit(context, {"type": "exec", "cmd": line}, **options)


@click.command("job:run")
@_submits
@click.option("--params", "named", metavar="JSON", help="A list, an object of named ones, or one value.")
@click.argument("class_name", metavar="CLASS")
@click.argument("method", metavar="METHOD")
@click.argument("params", nargs=-1, metavar="[PARAM...]")
@click.pass_context
def job_run(
    context: click.Context,
    /,
    class_name: str,
    method: str,
    params: tuple[str, ...],
    named: str | None,
    **options: Any,
) -> None:
    """Queue a method of an approved class and print its id. A PARAM is a text; --params that is no JSON is one, too."""
    if params and named is not None:
        raise click.UsageError("Give PARAMs or --params, not both.")
    given: Any = list(params)
    if named is not None:
        try:
            given = json.loads(named)
        except (ValueError, RecursionError):
            given = named
    _submit(context, {"type": "method", "class": class_name, "method": method, "params": given}, **options)


def _parameters(context: click.Context, parameter: click.Parameter, typed: str | None) -> dict[str, Any]:
    try:
        found = None if typed is None else json.loads(typed)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"is not JSON: {error}"[:200]) from None
    if found is not None and not isinstance(found, dict):
        raise click.BadParameter('expected an object of parameters by name, as {"count": 3}')
    return found or {}


_json = click.argument("parameters", required=False, metavar="[JSON]", callback=_parameters)


@click.command()
@_submits
@click.argument("worker_name", metavar="NAME")
@_json
@click.pass_context
def worker(context: click.Context, /, worker_name: str, parameters: dict[str, Any], **options: Any) -> None:
    """Queue a worker and print its id. JSON is an object of its parameters."""
    _submit(context, {"type": "worker", "name": worker_name, "parameters": parameters}, **options)


@click.command()
@_submits
@click.argument("command_name", metavar="NAME")
@_json
@click.pass_context
def approved(context: click.Context, /, command_name: str, parameters: dict[str, Any], **options: Any) -> None:
    """Queue an approved command and print its id. JSON is an object of its parameters."""
    _submit(context, {"type": "approved", "name": command_name, "parameters": parameters}, **options)


def _submit(
    context: click.Context, /, command: dict[str, Any], hold: bool, wait: bool, as_json: bool, **options: Any
) -> None:
    if hold and wait:
        raise click.UsageError("--hold never starts it: --wait would wait for ever.")
    actions = actions_of(context)
    given = {name: value for name, value in options.items() if value not in (None, {}, ())}
    if "context_name" in given:
        given["context"] = given.pop("context_name")
    if "cwd" in given:
        given["cwd"] = os.path.normpath(os.path.join(_here(given["cwd"]), os.path.expanduser(given["cwd"])))
    for name in CALLBACKS:
        if name in given:
            given[name] = read_option(name, given[name])
    if "slurm_args" in given:
        given["slurm_args"] = list(given["slurm_args"])
    if "after" in given:
        given["after"] = [actions.store.resolve(text) for text in given["after"]]
    given.update(command=command, start=not hold)
    job = actions.submit(given, by=me(), cwd=None if "cwd" in given else _here())
    if not wait:
        output.print_records([job], as_json, lambda job: job.id)
        return
    click.echo(f"Job {job.id}", err=True)
    sys.exit(output.follow_to_end(actions, job.id))
