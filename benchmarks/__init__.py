"""What the project is measured against, and how: `python benchmarks/run.py`.

Each module measures one theme and returns rows of the table (`results`). Everything that is compared is measured in
the same run, in turns (`rounds`), on the same file system; only ratios are worth comparing between machines.
"""
