"""The dispatcher's program, started as `python -I -S .../running_jobs/__main__.py DATA` with its settings on stdin.

`-I -S` keeps out whatever the user's environment and site-packages would import, so the package's
place must be told here. By hand, without settings on stdin, it takes those of the data directory.
"""

import os
import sys

if len(sys.argv) != 2:
    sys.exit("usage: python -I -S running_jobs/__main__.py DATA (users start jobs with app.py)")
is_left, leave = os.pipe()
if os.fork():  # whoever started it gets its child back at once and never has a dispatcher for a child
    os._exit(0)
os.close(leave)
os.read(is_left, 1)  # until then, our parent holds the lock that was handed down, too: it would outlive us
os.close(is_left)
os.setsid()
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from running_jobs.daemon import main  # noqa: E402 - the line above says where it is

main(os.path.abspath(sys.argv[1]))
