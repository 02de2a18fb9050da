"""Where a job's runner is started: on this machine (`local`), or by somebody else's scheduler.

An executor has one verb, `launch(job_id, version)`, which starts a runner for a queued job and returns
what tells when that runner is gone. It never writes the job: the runner claims it itself, if it is still as it was.
"""
