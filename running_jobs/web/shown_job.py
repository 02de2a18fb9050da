"""The chosen job, as the tabs of its panel are given it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from running_jobs.job import Job
from running_jobs.paths import JobPaths
from running_jobs.web.listing import Listing
from running_jobs.web.parts import Parts


@dataclass(frozen=True)
class ShownJob:
    """A job that is shown: `here` is what the page's address says, `now_s` the wall clock's seconds.

    `is_update` says that the page is there already and asks for what changed: what it follows by itself is left out.
    """

    parts: Parts
    job: Job
    here: dict[str, str]
    now_s: float
    is_update: bool

    @property
    def paths(self) -> JobPaths:
        """The paths of the data directory."""
        return self.parts.store.paths

    @cached_property
    def results(self) -> Listing:
        """The files that it left, looked for once."""
        return self.parts.listings.of(self.paths.results(self.job.id))
