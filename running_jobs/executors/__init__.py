"""Where a job's runner is started: on this machine (`local`), or by somebody else's scheduler.

An executor has one verb, `launch(job_id, version)`, which has a runner take a queued job and returns
what tells when that runner is done with it. It never writes the job: the runner claims it itself, if it is still as it
was.
"""
