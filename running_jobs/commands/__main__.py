"""Runs one of the commands by its name, in isolation: `python -I -S .../running_jobs/commands/__main__.py NAME ...`.

By hand it is `python -m running_jobs.commands.NAME ...`. Started by its path, the package's place must be told here,
and this folder is taken out of the search path: its `http` would hide the standard library's.
"""

import importlib
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
project = os.path.dirname(os.path.dirname(here))
sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]

if __name__ == "__mp_main__":  # a child of multiprocessing's, which reads this file again
    if project not in sys.path:
        sys.path.append(project)  # last, as for its parent
    importlib.import_module("running_jobs.commands.worker").find_own_code()
elif __name__ == "__main__":
    sys.path.insert(0, project)
    if len(sys.argv) < 2:
        sys.exit("usage: python -I -S running_jobs/commands/__main__.py NAME ... (users start jobs with app.py)")
    sys.exit(importlib.import_module(f"running_jobs.commands.{sys.argv[1]}").main(sys.argv[2:]))
