"""The commands that list, show, add, edit and delete workers. Exits and messages are as `cli` says."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any, BinaryIO

import click

from running_jobs import cli_output as output
from running_jobs import wording
from running_jobs.cli_submit import actions_of, as_json
from running_jobs.errors import InvalidWorker, JobsError
from running_jobs.worker_actions import WorkerActions

_name = click.argument("name", metavar="NAME")


def _actions(context: click.Context) -> WorkerActions:
    actions = actions_of(context)
    return WorkerActions(actions.settings, actions.store)


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def workers(context: click.Context, as_json: bool) -> None:
    """List, show, add, edit and delete workers; alone it lists them."""
    if context.invoked_subcommand is None:
        context.invoke(list_workers, as_json=as_json)
    elif as_json:
        raise click.UsageError("Give --json behind list or show.")


@workers.command("list")
@as_json
@click.pass_context
def list_workers(context: click.Context, as_json: bool) -> None:
    """List workers with the first line of what they say of themselves."""
    found = _actions(context).all()
    if as_json:
        output.print_json(found)
        return
    for worker in found:
        click.echo(f"{worker['name']:<20} {_first_line(worker)}".rstrip())


@workers.command()
@_name
@as_json
@click.pass_context
def show(context: click.Context, name: str, as_json: bool) -> None:
    """Print a worker's code; with --json what it says of itself as well."""
    actions = _actions(context)
    if as_json:
        output.print_json({**actions.show(name), "code": actions.code(name)})
    else:
        click.echo(actions.workers.code(name), nl=False)


@workers.command()
@_name
@click.argument("file", type=click.File("rb"), default="-", metavar="[FILE]")
@click.pass_context
def add(context: click.Context, name: str, file: BinaryIO) -> None:
    """Add a worker; its code comes from FILE, or from standard input."""
    _say_saved(_actions(context).save(name, _text(file.read()), is_new=True), "added")


@workers.command()
@_name
@click.argument("file", type=click.File("rb"), required=False, metavar="[FILE]")
@click.pass_context
def edit(context: click.Context, name: str, file: BinaryIO | None) -> None:
    """Replace a worker's code from FILE (- is standard input); without one, open it in $EDITOR."""
    actions = _actions(context)
    actions.refuse_unless_it_may_change(name)
    before = _text(actions.workers.code(name))
    if file is not None:
        _say_saved(actions.save(name, _text(file.read())), "saved")
    else:
        _edit_in_editor(actions, name, before)


@workers.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.pass_context
def delete(context: click.Context, names: tuple[str, ...]) -> None:
    """Delete workers; not while one of their jobs is queued or active."""
    actions = _actions(context)
    refused = False
    for name in names:
        try:
            actions.delete(name)
            click.echo(f"Worker {name} deleted")
        except JobsError as error:
            refused = True
            click.echo(f"Error: {error}", err=True)
    sys.exit(1 if refused else 0)


def _edit_in_editor(actions: WorkerActions, name: str, before: str) -> None:
    """Have somebody edit a text until it is saved or they give up; then it is kept in a file."""
    text = before
    try:
        while True:
            text = click.edit(text, extension=".py", require_save=False) or ""
            if text.rstrip("\n") == before.rstrip("\n"):
                click.echo(f"Worker {name} is as it was.")
                return
            try:
                _say_saved(actions.save(name, text), "saved")
                return
            except InvalidWorker as error:
                click.echo(f"Error: {error}", err=True)
                if click.confirm("Edit it again?", default=True, err=True):
                    continue
                raise click.ClickException(f"Worker {name} was not saved.") from None
    except BaseException:  # a refusal, no terminal to ask on, an editor that fails, Ctrl-C: the text stays
        if text != before:
            click.echo(f"The text is kept in {_keep(name, text)}", err=True)
        raise


def _keep(name: str, text: str) -> str:
    descriptor, path = tempfile.mkstemp(prefix=f"{name}-", suffix=".py")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)
    return path


def _text(code: bytes) -> str:
    """Return what was read as a text; what is no UTF-8 is refused when it is saved, with its line."""
    return code.decode(errors="surrogateescape")


def _say_saved(worker: dict[str, Any], verb: str) -> None:
    click.echo(f"Worker {worker['name']} {verb}")
    if "problem" in worker:
        click.echo(f"Warning: {wording.harmless(_one_line(worker['problem']))}", err=True)


def _first_line(worker: dict[str, Any]) -> str:
    if "problem" in worker:
        return wording.harmless(f"problem: {_one_line(worker['problem'])}")
    information = worker["information"]
    description = information.get("description") if isinstance(information, dict) else None
    return wording.harmless((str(description or "").strip().splitlines() or [""])[0])


def _one_line(text: str) -> str:
    return " ".join(text.split())
