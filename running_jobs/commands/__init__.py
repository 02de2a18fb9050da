"""The kinds of jobs that are programs of our own, each runnable by hand as well.

    http    sends one HTTP request: python -m running_jobs.commands.http https://example.com/
    method  runs a method of an approved class: python -m running_jobs.commands.method module.Class method

They start within milliseconds and use the standard library alone; what a user's class needs is its own business.
"""
