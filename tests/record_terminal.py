"""Records anew what tqdm and rich write, into terminal_recordings/: `python tests/record_terminal.py`, with both installed.

The others there were recorded from git, gcc, watch and POV-Ray on a pseudo-terminal of 80 columns.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAMS = {
    "tqdm": """
import sys,time
from tqdm import tqdm, trange
for i in trange(30, desc="plain", mininterval=0): pass
for i in trange(10, desc="left away", leave=False, mininterval=0): pass
for i in trange(10, desc="ascii", ascii=True, colour="green", mininterval=0, ncols=70): tqdm.write(f"note {i}", file=sys.stderr) if i%4==0 else None
with tqdm(total=5_000_000, unit="B", unit_scale=True, unit_divisor=1024, mininterval=0) as bar:
    for i in range(10): bar.update(500_000); bar.set_postfix(loss=1/(i+1))
""",
    "tqdm_nested": """
from tqdm import tqdm, trange
for i in trange(3, desc="epoch", mininterval=0):
    for j in trange(4, desc="batch", leave=False, mininterval=0):
        for k in trange(5, desc="step", leave=(j == 1), mininterval=0): pass
bars = [tqdm(total=4, position=n, desc=f"worker {n}", mininterval=0, colour=c) for n, c in enumerate(["red","#ff8800","blue",None])]
for step in range(4):
    for bar in bars: bar.update()
for bar in bars: bar.close()
""",
    "rich_progress": """
import time
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, BarColumn, TextColumn, TimeElapsedColumn
console = Console(force_terminal=True, color_system="truecolor", width=100)
with Progress(SpinnerColumn(), *Progress.get_default_columns(), TimeElapsedColumn(), console=console, auto_refresh=False) as p:
    a = p.add_task("[red]Downloading 進捗", total=10); b = p.add_task("[green]Processing...", total=10); c = p.add_task("[cyan]Cooking", total=None)
    for i in range(10):
        p.update(a, advance=1); p.update(b, advance=.7); p.advance(c)
        if i % 3 == 0: p.console.print(f"Working on job [b]#{i}[/b]", {"i": i, "path": "/tmp/x"})
        p.refresh()
""",
    "rich_page": """
from rich.console import Console
from rich.table import Table
from rich.panel import Panel
from rich.syntax import Syntax
from rich.markup import escape
from rich.traceback import Traceback
console = Console(force_terminal=True, color_system="256", width=90)
t = Table(title="Star Wars 映画", show_lines=True, row_styles=["", "on grey15"])
t.add_column("Released", style="cyan", no_wrap=True); t.add_column("Title", style="magenta"); t.add_column("Box", justify="right", style="green")
t.add_row("Dec 20, 2019", "Skywalker の夜明け", "$952,110,690"); t.add_row("May 25", "[link=https://example.org/a?b=c&d]Solo[/link]", "$393")
console.print(t)
console.print(Panel.fit("[bold italic]fit[/] [reverse]reverse[/] [strike]strike[/] [u]under[/] [dim]dim[/] [blink]blink[/] [on blue]  [/]"))
console.print(Syntax("def f(x: int) -> str:\\n    return f'{x!r}' # comment", "python", line_numbers=True, theme="monokai"))
console.rule("[bold red]Chapter"); console.log("logged", [1, 2.5, None, True])
try: 1/0
except ZeroDivisionError: console.print(Traceback(width=90))
""",
    "rich_live": """
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.status import Status
console = Console(force_terminal=True, color_system="standard", width=80, height=25)
def table(n):
    t = Table(); t.add_column("Row"); t.add_column("Value")
    for i in range(n): t.add_row(str(i), f"[green]{i*i}[/]" if i % 2 else f"[red]{i}[/]")
    return t
with Live(table(1), console=console, auto_refresh=False) as live:
    for n in (2, 3, 8, 30, 4):
        live.update(table(n), refresh=True); live.console.print(f"size {n}")
with Live(table(3), console=console, auto_refresh=False, transient=True) as live: live.refresh()
with Status("busy", console=console) as s: s.update("[bold]almost"); console.print("while busy")
console.print("end", style="bold white on red")
with console.screen(): console.print("on the alternate screen")
console.print("back")
""",
}


def main() -> None:
    folder = Path(__file__).parent / "terminal_recordings"
    for name, program in PROGRAMS.items():
        env = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80" if name.startswith("tqdm") else "100"}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, check=True)
        (folder / f"{name}.bin").write_bytes(done.stdout)


if __name__ == "__main__":
    main()
