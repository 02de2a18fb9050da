"""The kinds of jobs that are programs of our own, each runnable by hand as well.

    http      sends one HTTP request: python -m running_jobs.commands.http https://example.com/
    method    runs a method of an approved class: python -m running_jobs.commands.method module.Class method
    worker    runs a worker: python -m running_jobs.commands.worker Name '{"parameter": 1}'
    approved  runs an approved command: python -m running_jobs.commands.approved name '{"parameter": 1}'

They start within milliseconds and use the standard library alone; what a user's class needs is its own business.
"""
