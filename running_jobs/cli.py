"""The command line. Works with the server down: it acts on the data directory through `actions`.

Exit 0 on success, 1 on a refused or failed action with one line on stderr, 2 on bad usage. Nothing of
Flask is imported unless the page is served.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from running_jobs import cli_output as output
from running_jobs import wording
from running_jobs.actions import Actions
from running_jobs.cli_submit import actions_of, approved, as_json, job_run, me, run, worker
from running_jobs.clocks import read_since, read_until
from running_jobs.errors import InvalidSettings, JobsError
from running_jobs.housekeeping import has_work
from running_jobs.job import JobStatus
from running_jobs.option_texts import read_option
from running_jobs.settings import load_settings


class _Commands(click.Group):
    """Turns refusals into one line on stderr and exit 1; `serve` runs where no command is given.

    What only `workers` needs is not imported for the others: it would be a quarter of the time that `run` takes.
    """

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted([*super().list_commands(context), "workers"])

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name != "workers":
            return super().get_command(context, name)
        from running_jobs.cli_workers import workers

        return workers

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except InvalidSettings as error:
            raise click.ClickException(f"Wrong setting: {error}") from None
        except JobsError as error:
            raise click.ClickException(wording.harmless(str(error))) from None  # some quote what people wrote
        except BrokenPipeError:  # `app.py list | head`: whoever read has seen enough
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the interpreter's last flush
            return None


@click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", metavar="DIR", help="The data directory (or JOBS_DATA); default: jobs_data beside app.py.")
@click.pass_context
def main(context: click.Context, data: str | None) -> None:
    """Run shell commands that last for hours, and find them again. Without a command: serve the page."""
    context.obj = data
    if context.invoked_subcommand is None:
        context.invoke(serve)


def _reader(context: click.Context) -> Actions:
    """Return actions for a look: jobs that nobody watches are watched again first, so that none is shown as alive."""
    actions = actions_of(context)
    if has_work(actions.store):
        actions.ensure_dispatcher()
    return actions


_ids = click.argument("ids", nargs=-1, required=True, metavar="ID...")


@main.command()
@click.option("--host", help="The address to listen on; default: the setting host, 127.0.0.1.")
@click.option("--port", type=click.IntRange(1, 65535), help="The port; default: the setting port, 8000.")
@click.option(
    "--no-auth", is_flag=True, help="Listen beyond this machine without a user: anyone who gets there is you."
)
@click.pass_context
def serve(context: click.Context, host: str | None, port: int | None, no_auth: bool) -> None:
    """Serve the page and the API."""
    from running_jobs.web.serving import serve as serve_forever

    serve_forever(load_settings(context.obj), host, port, no_auth)


@main.command("list")
@click.option("--status", type=click.Choice([status.value for status in JobStatus]), help="Only these.")
@click.option("--context", "context_name", help="Only those of this context.")
@click.option("--since", metavar="TIME", help="Only those that came since then: a time, a day, or 15m, 24h, 7d ago.")
@click.option("--until", metavar="TIME", help="Only those that came until then: a time or a day.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@as_json
@click.pass_context
def list_jobs(
    context: click.Context,
    status: str | None,
    context_name: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List jobs, newest first."""
    from running_jobs.cli_look import print_list
    from running_jobs.index import JobFilter

    wanted = JobFilter(
        status,
        context_name,
        since=read_since("since", since, time.time()) if since else None,
        until=read_until("until", until) if until else None,
    )
    print_list(_reader(context).store, wanted, limit, as_json)


@main.command()
@click.argument("job_id", metavar="ID")
@as_json
@click.pass_context
def show(context: click.Context, job_id: str, as_json: bool) -> None:
    """Show all that is known of a job."""
    from running_jobs.cli_look import print_job

    actions = _reader(context)
    print_job(actions, actions.store.get(actions.store.resolve(job_id)), as_json)


@main.command()
@click.argument("job_id", metavar="ID")
@click.option("--err", is_flag=True, help="Its standard error instead.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@click.option("-n", "--lines", type=click.IntRange(0), help="Only the last so many lines.")
@click.pass_context
def log(context: click.Context, job_id: str, err: bool, follow: bool, lines: int | None) -> None:
    """Print a job's output as it was written."""
    actions = _reader(context)
    output.print_log(actions.store, actions.store.resolve(job_id), err, follow, lines)


for _command in (run, worker, job_run, approved):
    main.add_command(_command)


def _each(name: str, help_text: str, act: Callable[[Actions, str], str]) -> None:
    """Make a command that does one thing to each of the jobs named, and says for each what refused."""

    @main.command(name, help=help_text)
    @_ids
    @click.pass_context
    def command(context: click.Context, ids: tuple[str, ...]) -> None:
        actions = actions_of(context)
        refused = False
        for text in ids:
            try:
                click.echo(act(actions, actions.store.resolve(text)))
            except JobsError as error:
                refused = True
                click.echo(f"Error: {error}", err=True)
        sys.exit(1 if refused else 0)


def _delete(actions: Actions, job_id: str) -> str:
    actions.delete(job_id, me())
    return f"{job_id} deleted"


def _said(job: Any) -> str:
    asked = f", asked to {job.asked['verb']}" if job.status == "active" and job.asked else ""
    return f"{job.id} {job.status}{asked}"


_each("start", "Queue jobs that were held.", lambda actions, job_id: _said(actions.start(job_id, me())))
_each("stop", "Ask jobs to end: SIGTERM, after the grace SIGKILL.", lambda a, job_id: _said(a.stop(job_id, me())))
_each("job:cancel", "The same as stop.", lambda actions, job_id: _said(actions.stop(job_id, me())))
_each("kill", "End jobs at once: SIGKILL.", lambda actions, job_id: _said(actions.kill(job_id, me())))
_each("delete", "Delete jobs with their logs and results.", _delete)


@main.command("set")
@click.argument("job_id", metavar="ID")
@click.argument("pairs", nargs=-1, required=True, metavar="KEY=VALUE...")
@as_json
@click.pass_context
def set_options(context: click.Context, job_id: str, pairs: tuple[str, ...], as_json: bool) -> None:
    """Change options of a job that is not active yet, as priority=900 at=2026-11-21T20:30 after=ID,ID."""
    actions = actions_of(context)
    given: dict[str, Any] = {}
    for pair in pairs:
        name, equals, typed = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"expected KEY=VALUE, found {pair[:40]!r}")
        given[name] = read_option(name, typed)
    if "after" in given:
        given["after"] = [actions.store.resolve(text) for text in given["after"]]
    job = actions.edit(actions.store.resolve(job_id), given, me())
    output.print_records([job], as_json, lambda job: f"{job.id} {job.status}, changed: {', '.join(given)}")


@main.command()
@click.option("--keep-days", type=click.FloatRange(0), help="Remove those that ended longer ago; 0 keeps none.")
@click.option("--keep-jobs", type=click.IntRange(0), help="Remove all but the newest so many; 0 keeps none.")
@click.option("--dry-run", is_flag=True, help="Only print which.")
@as_json
@click.pass_context
def prune(context: click.Context, keep_days: float | None, keep_jobs: int | None, dry_run: bool, as_json: bool) -> None:
    """Remove ended jobs with their logs and results; without options, as the settings say."""
    actions = actions_of(context)
    if keep_days is None and keep_jobs is None:
        keep_days, keep_jobs = actions.settings.keep_days or None, actions.settings.keep_jobs or None
    if keep_days is None and keep_jobs is None:
        click.echo("Nothing is to go: neither keep_days nor keep_jobs is given or set.", err=True)
    from running_jobs import retention

    if dry_run:
        ids, refused = retention.expired(actions.store, keep_days, keep_jobs), None
    else:
        ids, refused = retention.prune(actions.store, keep_days, keep_jobs, by=me())
    if as_json:
        output.print_json(ids)
    else:
        for job_id in ids:
            click.echo(job_id)
        click.echo(f"{len(ids)} {'job' if len(ids) == 1 else 'jobs'} {'would be ' if dry_run else ''}removed")
    if refused:
        raise refused


@main.command()
@click.argument("job_id", metavar="ID")
@as_json
@click.pass_context
def again(context: click.Context, job_id: str, as_json: bool) -> None:
    """Queue a copy of a job and print its id."""
    actions = actions_of(context)
    job = actions.again(actions.store.resolve(job_id), me())
    output.print_records([job], as_json, lambda job: job.id)


@main.command()
@as_json
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show counts, slots, the dispatcher and the disk."""
    from running_jobs.cli_look import print_status

    print_status(_reader(context), as_json)


@main.command()
@click.pass_context
def pause(context: click.Context) -> None:
    """Start nothing new; running jobs go on."""
    actions_of(context).pause(True)
    click.echo("Paused: nothing new starts. `resume` goes on.")


@main.command()
@click.pass_context
def resume(context: click.Context) -> None:
    """Start queued jobs again."""
    actions_of(context).pause(False)
    click.echo("Queued jobs start again.")


@main.command()
def password() -> None:
    """Ask for a password and print its hash, for the settings."""
    from werkzeug.security import generate_password_hash

    if sys.stdin.isatty():
        text = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        text = sys.stdin.readline().rstrip("\n")
    if not text:
        raise click.ClickException("An empty password protects nothing; give one.")
    click.echo(generate_password_hash(text, method="scrypt"))
