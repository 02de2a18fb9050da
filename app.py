"""Running Jobs: the application (`create_app`) and the command line (`python app.py ...`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from running_jobs.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Build the web application; without settings, from the data directory's. Importing this module starts nothing."""
    from running_jobs.settings import load_settings
    from running_jobs.web.application import build_app

    return build_app(settings or load_settings())


if __name__ == "__main__":
    from running_jobs.cli import main

    main(prog_name="app.py")
