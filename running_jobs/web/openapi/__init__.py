"""The description of the HTTP API for programs, `/openapi.json`, made from the application's own tables.

Paths, methods and the form of what stands in a path come from the application's URL map (`document`), the options of
jobs from the checks that take them (`options`), records from the fields of a job (`records`), sentences from the
views' own docstrings. Written by hand is only what is nowhere else: what each view reads and answers (`operations`).
"""
