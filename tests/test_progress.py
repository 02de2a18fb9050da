"""How far a job is: what real programs wrote, what they write now, and what must never be taken for progress."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from running_jobs import progress_pattern
from running_jobs.errors import InvalidJob
from running_jobs.progress import Progress, estimate_s, progress_of
from running_jobs.progress_pattern import LINE, LINES, check
from running_jobs.progress_rows import rows_of

from .progress_negatives import GROUPS

OUTPUTS = Path(__file__).parent / "progress_outputs"
BLOCK = "\u2588"


def recorded(name: str) -> str:
    return (OUTPUTS / f"{name}.txt").read_bytes().decode(errors="replace")


def up_to(text: str, mark: str) -> str:
    """Return the text up to the end of what begins with a mark: what a reader saw at that moment."""
    start = text.index(mark)
    end = re.compile(r"[\r\n]").search(text, start + len(mark))
    return text[: end.start() if end else None]


def said(progress: Progress | None) -> tuple[float, str] | None:
    return (round(progress.fraction, 3), progress.text) if progress else None


RECORDED = [
    ("tqdm", " 10/64 [", (0.156, "10/64")),
    ("tqdm_bytes", "22.9M/95.4M", (0.24, "22.9M/95.4M")),
    ("tqdm_nested", "1/5 [00:00<00:01", (0.2, "1/5")),
    ("rich", " 55%", (0.55, "55%")),
    ("rich_dl", "25.0/50.0 MB", (0.5, "25.0/50.0 MB")),
    ("rich_mofn", "34/64", (0.531, "34/64")),
    ("pip", "31.1/68.0 MB", (0.457, "31.1/68.0 MB")),
    ("pip_raw", "Progress 262144 of 67998402", (0.004, "262144/67998402")),
    ("click", "[##----------------------------------]    7%", (0.07, "7%")),
    ("progressbar", "30% (12 of 40)", (0.3, "12/40")),
    ("progress", "| 9/20", (0.45, "9/20")),
    ("alive", "7/40 [18%]", (0.175, "7/40")),
    ("git", "remote: Compressing objects:  69% (802/1161)", (0.691, "802/1161")),
    ("git", "Resolving deltas:  87% (730/839)", (0.87, "730/839")),
    ("make", "[ 46%] Building C object", (0.46, "46%")),
    ("ninja", "[6/13] Building", (0.462, "6/13")),
    ("curl", " 95 5859k   95", (0.95, "95% of 5859k")),
    ("curl_hash", "100.0%", (1.0, "100.0%")),
    ("wget_bar", " 42%[", (0.42, "42%")),
    ("wget_dot", " 50%  669M", (0.5, "50%")),
    ("rsync", "21,309,568  44%", (0.44, "44%")),
    ("rclone", "20.141 MiB / 45.776 MiB, 44%", (0.44, "20.141 MiB / 45.776 MiB, 44%")),
    ("rclone_line", "30.123 MiB / 45.776 MiB, 66%", (0.66, "30.123 MiB / 45.776 MiB, 66%")),
    ("povray", "Rendered 24576 of 76800", (0.32, "24576 of 76800 pixels")),
    ("povray_animation", "Rendering frame 3 of 6", (0.333, "frame 3 of 6")),
    ("ffmpeg", "time=00:00:06.84", (0.342, "00:00:06 of 00:00:20")),
]


@pytest.mark.parametrize(
    ("name", "mark", "expected"), RECORDED, ids=[f"{name} {mark.strip()}" for name, mark, _ in RECORDED]
)
def test_recorded_output_is_read_at_a_moment_within_it(name, mark, expected):
    seen = up_to(recorded(name), mark)
    assert said(progress_of(seen)) == expected
    assert said(progress_of("", seen)) == expected, "the same in err"


@pytest.mark.parametrize("name", ["tqdm_nototal", "tqdm_outer_nototal", "rsync_each", "ff_lavfi"])
def test_output_whose_end_is_not_known_says_nothing_at_any_moment(name):
    text = recorded(name)
    for end in [match.end() for match in re.finditer("[\r\n]", text)]:
        assert progress_of(text[:end]) is None, repr(text[max(0, end - 200) : end])


ONE_BAR = sorted({name for name, _, _ in RECORDED} - {"git"} | {"tqdm_nested_leave", "tqdm_write"})


@pytest.mark.parametrize("name", ONE_BAR)
def test_a_program_with_one_bar_never_goes_back(name):
    text = recorded(name)
    ends = [match.start() for match in re.finditer("[\r\n]", text)]
    seen = [progress.fraction for end in ends[:: max(1, len(ends) // 200)] if (progress := progress_of(text[:end]))]
    assert seen and seen == sorted(seen)


def test_the_own_estimate_of_a_program_is_kept():
    assert progress_of(up_to(recorded("tqdm"), " 10/64 [")).eta_s == 1
    assert progress_of(up_to(recorded("rclone"), "20.141 MiB / 45.776 MiB, 44%")).eta_s == 2
    assert progress_of(up_to(recorded("wget_dot"), " 50%  669M")).eta_s == 1
    assert progress_of(up_to(recorded("ffmpeg"), "time=00:00:06.84")).eta_s == pytest.approx(
        (20 - 6.84) / 1.14, abs=0.01
    )
    assert progress_of("x\n 42%|####2     | 42/100 [01:00<1:02:03,  1.0it/s]").eta_s == 3723


def test_ffmpegs_length_may_stand_in_the_head_only():
    text = recorded("ffmpeg_progress")
    tail = text[text.index("out_time=00:00:00.44") : text.index("out_time=00:00:04")]
    assert progress_of(tail) is None
    assert progress_of(tail, out_head=text[:8000]).text.endswith(" of 00:00:20")
    assert progress_of("", tail, err_head=text[:8000]) is not None


def run_until_cut_off(code: str) -> str:
    """Return what a Python program wrote up to the moment when it ended itself."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, env={**os.environ, "COLUMNS": "100"}
    )
    assert done.returncode == 7, done.stderr.decode()
    return (done.stdout + done.stderr).decode()


def test_tqdm_of_today_is_read():
    code = "import os; from tqdm import tqdm\nfor i in tqdm(range(64), mininterval=0, ascii={}):\n    if i == 16: os._exit(7)"
    for plain in (True, False):
        assert said(progress_of(run_until_cut_off(code.format(plain)))) == (0.25, "16/64")


def test_tqdm_of_today_within_tqdm_is_that_of_the_outer():
    code = """
import os; from tqdm import tqdm
for i in tqdm(range(4), mininterval=0, desc="files"):
    for j in tqdm(range(8), mininterval=0, leave=False, desc="parts"):
        if (i, j) == (1, 6): os._exit(7)
"""
    assert said(progress_of(run_until_cut_off(code))) == (0.25, "1/4")


def test_a_loop_of_tqdm_bars_without_an_outer_one_says_nothing_from_the_second_on():
    code = """
import os; from tqdm import tqdm
for i in range(4):
    for j in tqdm(range(8), mininterval=0):
        if (i, j) == (1, 6): os._exit(7)
"""
    text = run_until_cut_off(code)
    assert "6/8" in text
    assert progress_of(text) is None


def test_rich_of_today_is_read():
    code = """
import os; from rich.progress import Progress; from rich.console import Console
with Progress(console=Console(force_terminal=True), auto_refresh=False) as bars:
    task = bars.add_task("Rendering", total=64)
    for i in range(64):
        bars.advance(task); bars.refresh()
        if i == 15: bars.console.file.flush(); os._exit(7)
"""
    assert said(progress_of(run_until_cut_off(code))) == (0.25, "25%")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_of_today_is_read(tmp_path):
    source = tmp_path / "source"
    for arguments in (["init", "-q", str(source)], ["-C", str(source), "config", "user.email", "a@example.com"]):
        subprocess.run(["git", *arguments], check=True)
    for number in range(40):
        (source / f"{number}.txt").write_text(str(number))
    subprocess.run(["git", "-C", str(source), "add", "."], check=True)
    subprocess.run(["git", "-C", str(source), "-c", "user.name=a", "commit", "-qm", "a"], check=True)
    done = subprocess.run(
        ["git", "clone", "--progress", "--no-local", f"file://{source}", str(tmp_path / "copy")],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
        check=True,
    )
    assert said(progress_of("", up_to(done.stderr, "Receiving objects:  50%"))) == (0.5, "21/42")


@pytest.mark.skipif(shutil.which("povray") is None, reason="POV-Ray is not installed (apt-get install povray)")
def test_povray_of_today_is_read(tmp_path):
    (tmp_path / "a.pov").write_text(
        "camera{location -4*z look_at 0} light_source{<5,5,-5> 1} sphere{0,1 pigment{rgb x}}"
    )
    done = subprocess.run(
        ["povray", "+Ia.pov", "+Oa.png", "+W64", "+H64", "-D", "+KFF3"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    text = done.stderr[: done.stderr.rindex("Rendering frame 2 of 3")]
    assert said(progress_of("", text + "Rendering frame 2 of 3\n")) == (0.333, "frame 2 of 3")


KERAS = "Epoch 3/10\n\r 1/64 [..............................] - ETA: 9s - loss: 2.3\x08\x08\r16/64 [======>.......................] - ETA: 5s - loss: 1.2"
KERAS_3 = "Epoch 3/10\n\x1b[1m16/64\x1b[0m \x1b[32m━━━━━\x1b[0m\x1b[37m━━━━━━━━━━━━━━━\x1b[0m \x1b[1m5s\x1b[0m 98ms/step - accuracy: 0.9 - loss: 0.3"
BLENDER = "Fra:1 Mem:25.91M (Peak 26.01M) | Time:00:00.84 | Mem:0.00M, Peak:0.00M | Scene, View Layer | "

WRITTEN = [
    ("a worker", "STARTED\nprogress 12.0% a.png\nprogress 25.0% reading\nread it\n", (0.25, "25.0% reading")),
    ("a worker that corrects itself", "progress 50.0%\nprogress 25.0%\n", (0.25, "25.0%")),
    ("Keras", KERAS, (0.225, "epoch 3/10, 16/64")),
    ("Keras 3", KERAS_3, (0.225, "epoch 3/10, 16/64")),
    ("Keras predicts", "\r12/64 [====>.........................] - ETA: 5s", (0.188, "12/64")),
    (
        "Keras, an epoch's end",
        "Epoch 1/2\n64/64 - 2s - loss: 0.5 - 2s/epoch - 31ms/step\nEpoch 2/2\n",
        (0.5, "epoch 2/2"),
    ),
    ("Blender, tiles", BLENDER + "Rendered 3/64 Tiles\n", (0.047, "frame 1, 3/64 tiles")),
    (
        "Blender, samples",
        BLENDER.replace("|", "| Remaining:00:12.34 |", 1) + "Sample 12/128\n",
        (0.094, "frame 1, sample 12/128"),
    ),
    ("docker", "Step 2/7 : COPY . /app\n ---> 1234567890ab\nStep 3/7 : RUN make\n", (0.286, "Step 3/7")),
    ("docker, plain", "#7 [2/4] WORKDIR /app\n#7 CACHED\n\n#8 [3/4] RUN make\n#8 0.42 cc a.c\n", (0.5, "3/4")),
    ("pytest", "tests/test_a.py ......                    [ 42%]\ntests/test_b.py ..", (0.42, "42%")),
    ("pytest -v", "tests/test_a.py::test_x[a/b] PASSED         [ 42%]\n", (0.42, "42%")),
    ("pytest -q", "........................................ [ 72%]\n", (0.72, "72%")),
    ("pytest of several processes", "[gw0] [ 42%] PASSED tests/test_a.py::test_x \n", (0.42, "42%")),
    (
        "apt",
        "\x1b7\x1b[24;0f\x1b[42m\x1b[30mProgress: [ 42%]\x1b[49m\x1b[39m [#########.............] \x1b8",
        (0.42, "42%"),
    ),
    (
        "Lightning with rich",
        "Epoch 3/9 ━━━━━━━━━━╸━━━━━━━ 50/100 0:00:05 • 0:00:06 9.50it/s v_num: 0.000\n",
        (0.35, "epoch 3/9, 50/100"),
    ),
    (
        "transformers",
        "\r 42%|████▏     | 42/100 [00:10<00:14,  4.2it/s]{'loss': 0.5, 'epoch': 1.2}\n\r 43%|████▎     | 43/100 [00:10<00:14,  4.2it/s]",
        (0.43, "43/100"),
    ),
    ("model files", "Fetching 8 files:  25%|██▌       | 2/8 [00:01<00:03,  1.9it/s]\n", (0.25, "2/8")),
    ("pv", " 512MiB 0:00:05 [ 100MiB/s] [==========>              ] 42% ETA 0:00:07", (0.42, "42%")),
    ("yt-dlp", "[download]  42.0% of   10.00MiB at    1.00MiB/s ETA 00:05", (0.42, "42.0%")),
    ("plain", "starting\nProgress: 42%\n", (0.42, "42%")),
    ("plain, logged", "2026-11-21 12:00:00,123 INFO Progress: 42.5 %\nsaved\n", (0.425, "42.5%")),
    ("plain, done", "41% done\n42% done\n", (0.42, "42%")),
    ("percentages alone", "10 %\n20 %\n42.5 %\n", (0.425, "42.5%")),
    ("percentages over each other", "\r10%\r20%\r30%", (0.3, "30%")),
    ("a verb", "Rendering: 41%\nRendering: 42%\n", (0.42, "42%")),
    ("frames", "frame 6 of 64\nframe 7 of 64\n", (0.109, "frame 7 of 64")),
    (
        "images with names",
        "Processing image 11/64: a.png\nProcessing image 12/64: b.png\nsaved\n",
        (0.188, "image 12/64"),
    ),
    ("bare counters", "10/64\n11/64\n12/64\n", (0.188, "12/64")),
    ("counters in brackets", "[1/4] Resolving packages...\n[2/4] Fetching packages...\n", (0.5, "2/4")),
    (
        "steps with metrics",
        "step 100/1000 loss 0.5 acc 42%\nstep 200/1000 loss 0.4\nstep 300/1000 loss 0.3\n",
        (0.3, "step 300/1000"),
    ),
    ("ninja on a terminal", "\r[1/64] a\x1b[K\r[2/64] b\x1b[K\r[12/64] CXX obj/a.o\x1b[K", (0.188, "12/64")),
    (
        "epochs within tqdm",
        " 10%|#         | 1/10 [00:01<00:09, 1.0s/it]\nEpoch 2 loss 0.3\n 20%|##        | 2/10 [00:02<00:08, 1.0s/it]",
        (0.2, "2/10"),
    ),
    ("epochs", "epoch 2/10, loss 0.5\nepoch 3/10, loss 0.4\n", (0.3, "epoch 3/10")),
    ("epochs with steps", "Epoch [3/10], Step [100/400], Loss: 0.4\n", (0.225, "epoch 3/10")),
    ("an epoch's tqdm", "Epoch 3/10:  25%|██▌       | 16/64 [00:01<00:03,  1.9it/s]\n", (0.225, "epoch 3/10, 16/64")),
    (
        "tqdm after an epoch's line",
        "epoch 2/10 loss 0.3\n\r 25%|██▌       | 16/64 [00:01<00:03,  1.9it/s]",
        (0.225, "epoch 3/10, 16/64"),
    ),
    (
        "files with a bar each",
        "file 1/4\n100%|##########| 8/8 [00:01<00:00, 9.0it/s]\nfile 2/4\n 25%|##5       | 2/8 [00:01<00:03, 1.9it/s]\n",
        (0.5, "file 2/4"),
    ),
    ("two lines between", "make: entering\n[ 42%] Building C object a.o\nwarning: b\nnote: c\n", (0.42, "42%")),
]


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in WRITTEN], ids=[case[0] for case in WRITTEN])
def test_formats_are_recognised(text, expected):
    assert said(progress_of(text)) == expected


NOTHING = [
    ("the first of bare counters", "12/64\n"),
    ("two of them", "11/64\n12/64\n"),
    ("one frame", "frame 7 of 64\n"),
    ("a counter that falls", "item 3/10\nitem 2/10\nitem 4/10\n"),
    ("a loop of counters", "".join(f"batch {n}/3\n" for n in (1, 2, 3)) * 2),
    ("a counter of another total each time", "item 1/10\nitem 2/12\nitem 3/14\n"),
    ("ratings by chance", "3/10\n4/10\n9/10\n"),
    ("a finished bar and work after it", "100%|##########| 64/64 [00:05<00:00, 12.0it/s]\n" + "writing\n" * 4),
    ("a finished make and work after it", "[100%] Built target a\n" + "installing\n" * 4),
    ("a second make", "[ 50%] Building a\n[100%] Built target a\n[  5%] Building b\n"),
    ("a second download", "########## 100.0%\r\n##  20.0%\r"),
    (
        "files one after another",
        "".join(f"{n}.bin: 100%|##########| 8/8 [00:01<00:00, 9.0it/s]\n" for n in "abc")
        + "d.bin:  25%|##5       | 2/8 [00:01<00:03, 1.9it/s]",
    ),
    ("a bar below the first of several files", "file 1/4\n 25%|##5       | 2/8 [00:01<00:03, 1.9it/s]\n"),
    (
        "an animation of unknown length",
        BLENDER
        + "Rendered 64/64 Tiles\nSaved: '1.png'\n"
        + BLENDER.replace("Fra:1", "Fra:2")
        + "Rendered 3/64 Tiles\n",
    ),
    ("a bar of an epoch of unknown many", "Epoch 1 begins\n 25%|##5       | 16/64 [00:01<00:03,  1.9it/s]"),
    ("epochs over again", "Epoch 1/2\nEpoch 2/2\nfold 2\nEpoch 1/2\n"),
    ("bars side by side", "Download ━━━━━━━━━━━━ 54% 0:00:01\nProcess  ━━━━━━━━━━━━ 24% 0:00:03\n"),
    ("a total that is not known", "  0     0    0  512k    0     0  4633k      0 --:--:--  0:00:01 --:--:-- 4636k"),
    ("more than all", "frame 70 of 64\nframe 71 of 64\nProgress: 142%\n"),
    ("nothing", ""),
    ("blank lines", "\n\n \r\n"),
    ("binary", "".join(map(chr, range(256))) * 20),
]


@pytest.mark.parametrize("text", [case[1] for case in NOTHING], ids=[case[0] for case in NOTHING])
def test_what_is_not_sure_is_not_said(text):
    assert progress_of(text) is None


def lines_of(group: str) -> list[str]:
    return [line for line in GROUPS[group].split("\n") if line]


def test_there_are_many_negatives():
    assert sum(len(lines_of(group)) for group in GROUPS) >= 200


@pytest.mark.parametrize("group", GROUPS)
def test_no_line_of_a_log_is_taken_for_progress(group):
    wrong = {line: found for line in lines_of(group) if (found := progress_of(line + "\n"))}
    assert wrong == {}


@pytest.mark.parametrize("group", GROUPS)
def test_no_run_of_such_lines_is_taken_for_progress(group):
    lines = lines_of(group)
    wrong = {}
    for end in range(1, len(lines) + 1):
        for size in (2, 3, 4, 8, 50):
            if found := progress_of("\n".join(lines[max(0, end - size) : end]) + "\n"):
                wrong[lines[end - 1]] = found
    assert wrong == {}


def test_output_and_err_together():
    bar = "\r 25%|##5       | 16/64 [00:01<00:03, 1.9it/s]"
    assert said(progress_of("starting\n", bar)) == (0.25, "16/64")
    assert said(progress_of("progress 40.0%\n", bar)) == (0.4, "40.0%")
    assert said(progress_of("epoch 3/10 loss 0.1\n", bar)) == (0.3, "epoch 3/10")
    assert progress_of("[ 80%] Building a\n", bar) is None, "they contradict each other"


def test_only_the_last_fifty_lines_count():
    bar = "[ 42%] Building C object a.o\n"
    assert said(progress_of(bar + "cc a.c\n" * 49)) == (0.42, "42%")
    assert progress_of(bar + "cc a.c\n" * 50) is None


def test_rows_are_what_a_terminal_shows():
    assert [row.shown for row in rows_of("a\nb\x1b[1A\rc\n\n\x1b[31md\x1b[0m\x1b]0;title\x07\re\x08f\n")] == [
        "c",
        "b",
        "f",
    ]


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"at (\d+) percent", "at 42 percent\nother\n", (0.42, "42%")),
        (r"stage (\d+) out of (\d+)", "stage 3 out of 4\n", (0.75, "3/4")),
        (r"(?P<total>\d+) parts, (?P<done>\d+) through", "8 parts, 2 through\n", (0.25, "2/8")),
        (r"(?P<percent>[\d.]+) pct", "42.5 pct\n", (0.425, "42.5%")),
        (r"sent ([\d,]+) of ([\d,]+)", "sent 1,000 of 4,000\n", (0.25, "1,000/4,000")),
        (r"stage (\d+) out of (\d+)", "Progress: 42%\n", None),
        (r"(\w+) parts of (\w+)", "some parts of it\n", None),
        (r"(\d+) of (\d+)", "9 of 3\n", None),
        (r"(\d+) of (\d+)", "9 of 0\n", None),
    ],
)
def test_a_pattern_of_ones_own_stands_for_all_else(pattern, text, expected):
    assert said(progress_of(text, pattern=check("progress_pattern", pattern))) == expected


def test_a_pattern_sees_fifty_lines_and_the_ends_of_long_ones():
    pattern = check("progress_pattern", r"at (\d+)!")
    assert progress_of("at 42!\n" + "x\n" * (LINES - 1), pattern=pattern)
    assert progress_of("at 42!\n" + "x\n" * LINES, pattern=pattern) is None
    assert progress_of("y" * 1000 + "at 42!", pattern=pattern)
    assert progress_of("at 42!" + "y" * (LINE + 1), pattern=pattern) is None


@pytest.mark.parametrize(
    "pattern",
    [
        r"frame (\d+) of (\d+)",
        r".*step\s+(\d+)\s*/\s*(\d+).*",
        r"(?i)epoch[ :]+(\d+)/(\d+)",
        r"(\d+(?:\.\d+)?) ?%",
        r"^\[(\d+)/(\d+)\]",
        r"(?P<percent>\d+)%$",
        r"(\d+)/(\d+)",
        r"(?:done|ready): ?(\d+)%",
        r"(\d+) ?(?:of|/) ?(\d+)",
    ],
)
def test_patterns_that_people_write_are_taken(pattern):
    assert check("progress_pattern", pattern).pattern == pattern


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("x" * 201, "too long"),
        ("(", "is no regular expression"),
        (r"(\d{5,2})", "is no regular expression"),
        (r"\d+", "found none"),
        (r"(a)(b)(c)", "found 3"),
        (r"(?P<speed>\d+)", "groups named"),
        (r"(?P<done>\d+)", "groups named"),
        (r"(?P<done>\d+)/(?P<total>\d+) (?P<x>.)", "groups named"),
        (r"(a+)+(?P<percent>\d)", "too long"),
        (r"(?:a|a)*(\d)x", "too long"),
        (r"(?:a?){30}a{30}(\d)", "too long"),
        (r"(\d+).*(\d+).*x", "too long"),
        (r".*.*.*(\d+)x", "too long"),
        (r"a*a*a*a*(\d)", "too long"),
        (r"(?i)[a-z]*[A-Z]*\w*(\d)!", "too long"),
        (r"(\d)\1*x", "too long"),
        (r"(?=a*a*a*b)(\d)", "too long"),
        (r"(?:\w+ ){1,9}(\d+)%", "too long"),
    ],
)
def test_a_pattern_that_cannot_serve_or_could_hang_is_refused(pattern, problem):
    with pytest.raises(InvalidJob, match=re.escape(problem)) as refused:
        check("progress_pattern", pattern)
    assert refused.value.field == "progress_pattern"


def even(count: int, step_s: float = 10, share: float = 0.01) -> list[tuple[float, float]]:
    return [(number * step_s, number * share) for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("progress", "samples", "started_s", "now_s", "expected"),
    [
        (Progress(0.5, "", 12.0), even(9), 0, 100, 12.0),
        (Progress(0.25, ""), (), 0, 100, 300.0),
        (Progress(0.09, ""), even(9), None, None, 910.0),
        (Progress(1.0, "", 5.0), even(9), 0, 100, None),
        (Progress(0.02, ""), even(9), 0, 100, None),
        (Progress(0.25, ""), (), 0, 9, None),
        (Progress(0.25, ""), (), None, None, None),
        (Progress(0.09, ""), even(9, step_s=1), None, None, None),
        (Progress(0.5, ""), [(0, 0.1), (50, 0.11), (100, 0.5)], 0, 100, None),
        (Progress(0.5, ""), [(0, 0.1), (50, 0.5), (100, 0.5)], 0, 100, None),
        (Progress(0.5, ""), [(0, 0.4), (50, 0.6), (100, 0.5)], 0, 100, None),
        (Progress(0.021, ""), (), 0, 40e6, None),
    ],
    ids=[
        "the program's own word",
        "since the start",
        "from samples",
        "at the end",
        "too early",
        "too short",
        "no start",
        "samples too close",
        "uneven",
        "stuck",
        "going back",
        "years",
    ],
)
def test_an_end_is_estimated_only_where_that_is_sensible(progress, samples, started_s, now_s, expected):
    left_s = estimate_s(progress, samples, started_s=started_s, now_s=now_s)
    assert left_s == (None if expected is None else pytest.approx(expected))


def test_an_epoch_whose_last_words_leave_out_how_many_there_are_keeps_its_bar() -> None:
    epochs = []
    for number in range(1, 9):
        states = (f"epoch {number}/40 |{'#' * done}{'.' * (8 - done)}| {done}/8 [0.0 s]" for done in range(1, 9))
        epochs.append("\r".join(states) + f"\nepoch {number}: loss 0.{number}, accuracy 0.9\n")
    found = progress_of("".join(epochs))
    assert found is not None
    assert (found.fraction, found.text) == (8 / 40, "epoch 8/40")
    assert progress_of("".join(epochs) + "epoch 9: loss 0.1\n") is None, "of another one nobody said how many"


@pytest.mark.parametrize("pattern", [r".*(?:[ab][ab]){100}(\d+)", r".*a{200}(\d)", "x" * 100 + r"(\d)"])
def test_a_pattern_that_asks_for_much_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidJob, match="asks for more than 80 characters"):
        progress_pattern.check("progress_pattern", pattern)


def test_no_further_line_is_tried_once_a_pattern_took_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = progress_pattern.check("progress_pattern", r"frame (\d+) of (\d+)")
    lines = ["frame 1 of 4", "saved"]
    found = progress_pattern.match_lines(pattern, lines)
    assert found is not None
    assert found.fraction == 0.25
    monkeypatch.setattr(progress_pattern, "GIVE_UP_S", -1)
    assert progress_pattern.match_lines(pattern, lines) is None
    assert progress_pattern.match_lines(pattern, lines[:1]) is not None, "the first one is always tried"
