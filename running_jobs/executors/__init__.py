"""Where a job's runner is started: on this machine (`local`), or by somebody else's scheduler.

`local` has one verb, `launch(job_id, version)`, which has a runner take a queued job and returns what tells when that
runner is done with it. It never writes the job: the runner claims it itself, if it is still as it was.

`slurm` is told which jobs are wanted (`slurm_wishes`: in which order), hands them over (`slurm_submission`: how;
`slurm_nodes`: after what) and follows them (`slurm_handed`) by what Slurm says (`slurm_queue`), asked now and then
(`slurm_asking`) by `slurm_calls`. What a runner did not record is recorded here (`slurm_settling`; `slurm_endings`: as
what; `slurm_records`), what nobody wants any more is cancelled (`slurm_leftovers`), and people are told (`slurm_told`).
The runner on a node is `commands.node`.
"""
