"""The logs of all jobs as files: what changed, and what failed. Raw, in ranges, or from an offset on."""

from __future__ import annotations

import errno
import os

from flask import Blueprint, Response

from running_jobs import files
from running_jobs.web.parts import parts
from running_jobs.web.sending import send_log

_NO_FILE = (errno.ENOENT, errno.ELOOP, errno.EINVAL)  # none yet, or a link or folder laid in its place

blueprint = Blueprint("log_files", __name__)


@blueprint.get("/logs/background_jobs.log")
def changes() -> Response:
    """Send the log of changes."""
    return _send(parts().store.paths.journal)


@blueprint.get("/logs/background_jobs_errors.log")
def failures() -> Response:
    """Send the log of errors."""
    return _send(parts().store.paths.errors)


def _send(path: str) -> Response:
    try:
        descriptor = files.open_private(path, os.O_RDONLY)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)  # as an empty one
    return send_log(descriptor, os.path.basename(path))
