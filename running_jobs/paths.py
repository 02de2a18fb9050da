"""Where each file of a data directory is: this object owns every file name."""

from __future__ import annotations

from collections.abc import Mapping


class JobPaths:
    """Where each file of a data directory is."""

    def __init__(self, data: str) -> None:
        self.data = data
        self.run = f"{data}/run"
        self.logs = f"{data}/logs"
        self.lock = f"{data}/run/lock"
        self.dispatcher_lock = f"{data}/run/dispatcher.lock"
        self.wake = f"{data}/run/wake"
        self.open = f"{data}/run/open"
        self.all_awaited = f"{data}/run/awaited"
        self.reserves = (f"{data}/run/reserve.1", f"{data}/run/reserve.2")
        self.slurm = f"{data}/run/slurm.json"
        self.for_nodes = f"{data}/run/for_nodes.json"
        self.slurm_lock = f"{data}/run/slurm.lock"
        self.batch = f"{data}/run/batch"
        self.known = f"{data}/run/known"
        self.boot_id = f"{data}/run/boot_id"
        self.journal = f"{data}/logs/background_jobs.log"
        self.errors = f"{data}/logs/background_jobs_errors.log"
        self.slurm_log = f"{data}/logs/slurm.log"
        self.paused = f"{data}/paused"
        self.secret = f"{data}/secret"
        self.workers = f"{data}/workers"
        self.saved = f"{data}/saved"

    def json(self, job_id: str) -> str:
        """Return the path of a job's record."""
        return f"{self.data}/{job_id}.json"

    def out(self, job_id: str) -> str:
        """Return the path of a job's standard output; its lock is the job's sign of life."""
        return f"{self.data}/{job_id}.out"

    def err(self, job_id: str) -> str:
        """Return the path of a job's standard error."""
        return f"{self.data}/{job_id}.err"

    def response(self, job_id: str) -> str:
        """Return the path of a job's response."""
        return f"{self.data}/{job_id}.response"

    def code(self, job_id: str) -> str:
        """Return the path of the worker's code that a job runs, as it was when the job was queued."""
        return f"{self.data}/{job_id}.worker.py"

    def stats(self, job_id: str) -> str:
        """Return the path of a job's samples."""
        return f"{self.data}/{job_id}.stats"

    def unfinished_stats(self, job_id: str) -> str:
        """Return the path of a job's samples while they are being made fewer."""
        return f"{self.data}/.{job_id}.stats.new"

    def unfinished(self, job_id: str) -> str:
        """Return the path of a job's record while it is being written."""
        return f"{self.data}/.{job_id}.json.new"

    def prepared(self, job_id: str) -> str:
        """Return the path of a job's next record while its runner writes it, and of a note until then."""
        return f"{self.data}/.{job_id}.json.next"

    def prepared_untold(self, job_id: str) -> str:
        """Return the path of a job's next record while its runner writes one that tells only the command's session."""
        return f"{self.data}/.{job_id}.json.session"

    def unfinished_code(self, job_id: str) -> str:
        """Return the path of the code that a job keeps while it is being written."""
        return f"{self.data}/.{job_id}.worker.py.new"

    def results(self, job_id: str) -> str:
        """Return the path of the folder that the command knows as JOB_FILES."""
        return f"{self.data}/{job_id}.files"

    def awaited(self, job_id: str) -> str:
        """Return the path of the list of jobs that were to wait for this one."""
        return f"{self.data}/run/awaited/{job_id}"

    def marker(self, job_id: str) -> str:
        """Return the path of the file that stands for a job that is not settled; what it holds says nothing.

        It may be a second name of the record that the job was queued with.
        """
        return f"{self.data}/run/open/{job_id}"


def data_of(environ: Mapping[str, str]) -> str | None:
    """Return the data directory of the job whose command has this environment; None if it is no job's."""
    job_id = environ.get("JOB_ID", "")
    data, _, name = environ.get("JOB_FILES", "").rpartition("/")
    return data if job_id and data and name == f"{job_id}.files" else None


def response_path(environ: Mapping[str, str]) -> str | None:
    """Return where the job whose command has this environment keeps its response; None if it is no job's."""
    data = data_of(environ)
    return JobPaths(data).response(environ["JOB_ID"]) if data else None
