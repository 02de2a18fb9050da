"""How one of our own small processes is started: slim, with a clean environment, its settings on stdin.

`-I -S` keeps out whatever the user's environment and site-packages would import. Settings are handed over in an
anonymous file, so that whoever is started uses those of whoever starts it, and no process list shows them.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from collections.abc import Mapping

from running_jobs import cores, files
from running_jobs.processes import ENGINE_MARK
from running_jobs.settings import Settings, engine_settings

PACKAGE = os.path.dirname(os.path.abspath(__file__))
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "SLURM_CONF")
PYTHON = (sys.executable or "/usr/bin/python3", "-I", "-S")
COMMANDS = "commands/__main__.py"  # the program that runs one of the commands by its name


def clean_environment(environ: Mapping[str, str], pass_env: list[str]) -> dict[str, str]:
    """Return what of an environment a dispatcher, and so a command, may see."""
    return {
        name: value
        for name, value in environ.items()
        if name in PASSED_ON or name.startswith("LC_") or name in pass_env
    }


def spawn(program: str, arguments: list[str], settings: Settings, keep: Mapping[int, int] | None = None) -> int:
    """Start a program of this package as a child, and return its pid. `keep` maps its descriptors to ours.

    Raise OSError.
    """
    opened: list[int] = []
    try:
        opened += [handed_over := os.memfd_create("settings"), null := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)]
        files.write_all(handed_over, json.dumps(settings.for_engine()).encode())
        os.lseek(handed_over, 0, os.SEEK_SET)
        descriptors = {0: handed_over, 1: null, 2: null, **(keep or {})}
        with cores.use_all():
            return os.posix_spawn(
                PYTHON[0],
                [*PYTHON, f"{PACKAGE}/{program}", *arguments],
                {**clean_environment(os.environ, settings.pass_env), ENGINE_MARK: "1"},
                file_actions=[(os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in descriptors.items()],
                setsigmask=[],
                setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},  # an ignored SIGCHLD would stay so
            )
    finally:
        for descriptor in opened:
            os.close(descriptor)


def settings_handed_over() -> Settings | None:
    """Return the settings that whoever started this process put on its stdin, or None if there are none."""
    if not stat.S_ISREG(os.fstat(0).st_mode):
        return None
    with os.fdopen(os.dup(0), "rb") as handed_over:
        content = handed_over.read()
    return engine_settings(json.loads(content)) if content else None
