"""The kinds of jobs that are programs of our own, each runnable by hand as well.

    http    sends one HTTP request: python -m running_jobs.commands.http https://example.com/

They start within milliseconds and use the standard library alone.
"""
