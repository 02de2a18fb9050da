"""What programs write that are not there to be recorded, byte for byte as they do: pip, ffmpeg, Blender, Keras, rclone ...;
and sequences made up from a grammar of everything that a terminal for logs knows.
"""

from __future__ import annotations

from random import Random


def pip() -> bytes:
    out = ["Collecting numpy\n  Downloading numpy-2.4.6-cp311-manylinux_2_27_x86_64.whl (16.9 MB)\n\x1b[?25l"]
    for step in range(41):
        bar = f"\x1b[38;2;249;38;114m{'━' * step}\x1b[0m"
        if step < 40:
            bar += f"\x1b[38;2;249;38;114m╸\x1b[0m\x1b[38;5;237m{'━' * (39 - step)}\x1b[0m"
        text = f"{bar} \x1b[32m{step * 0.4225:.1f}/16.9 MB\x1b[0m \x1b[31m41.2 MB/s\x1b[0m eta \x1b[36m0:00:01\x1b[0m"
        out.append(("\r\x1b[2K" if step else "") + "     " + text)
    out.append("\n\x1b[?25h")
    out += [f"\r\x1b[K     \\ Preparing {found}\b \b\b\b\b-" for found in ("pyte", "numpy")]
    out.append("\r\x1b[K\x1b[1m[\x1b[0m\x1b[34;49mnotice\x1b[0m\x1b[1;39;49m]\x1b[0m A new release\nDone\n")
    return "".join(out).encode()


def ffmpeg() -> bytes:
    out = [
        "Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'in.mp4':\n  Metadata:\n    major_brand     : isom\n",
        "  Duration: 00:01:40.00, start: 0.000000, bitrate: 1205 kb/s\nPress [q] to stop, [?] for help\n",
    ]
    for frame in range(0, 2500, 100):
        speed = "N/A" if frame == 0 else f"{frame / 97:.3g}x"
        out.append(
            f"frame={frame:5d} fps={frame // 9:3d} q=28.0 size={frame * 5:8d}kB time=00:00:{frame / 25:05.2f} "
            f"bitrate={9 + frame % 7:6.1f}kbits/s speed={speed}    \r"
        )
    out.append("\x1b[0;33m[aac @ 0x55]\x1b[0m \x1b[0;31mQavg: nan\x1b[0m\n")
    out.append("frame= 2500 fps=250 q=-1.0 Lsize=   12345kB time=00:01:40.00 speed=  10x    \nvideo:11kB audio:1kB\n")
    return "".join(out).encode()


def blender() -> bytes:
    out = ["Blender 4.2.1 LTS (hash 396f546c9d82 built 2024-08-19)\nRead blend: scene.blend\n"]
    for frame in (1, 2):
        out += [
            f"\rFra:{frame} Mem:{18 + tile}.55M (Peak {60 + tile % 5}.23M) | Time:00:0{tile // 9}.{tile} | "
            f"Remaining:00:0{7 - tile // 9}.10 | Scene, View Layer | Rendered {tile}/64 Tiles, Sample 128/128 "
            for tile in range(1, 65, 9)
        ]
        out.append(f"\rSaved: 'frames/{frame:04d}.png'\n Time: 00:08.64 (Saving: 00:00.25)\n\n")
    return "".join([*out, "Blender quit\n"]).encode()


def keras() -> bytes:
    out = []
    for epoch in range(1, 4):
        out.append(f"Epoch {epoch}/3\n")
        for step in range(1, 64, 6):
            filled = step * 20 // 64
            text = f"\x1b[1m{step}/64\x1b[0m \x1b[32m{'━' * filled}\x1b[0m\x1b[37m{'━' * (20 - filled)}\x1b[0m "
            back = "" if step == 1 else "\b" * 60
            out.append(f"{back}\r{text}\x1b[1m3s\x1b[0m 52ms/step - loss: {2 / step:.4f}")
        for step in range(8, 65, 8):  # as Keras 2 does: back over what it wrote
            text = f"{step:2d}/64 [{'=' * (step * 30 // 64):.<30}] - ETA: {64 - step:2d}s - loss: 0.5"
            out.append(text + "\b" * len(text))
        out.append("\r64/64 [==============================] - 3s 52ms/step - loss: 0.0312 - val_loss: 0.0298\n")
    return "".join(out).encode()


def rclone() -> bytes:
    out = []
    for step in range(8):
        lines = [f"Transferred:   \t {step * 3} MiB / 21 MiB, {step * 100 // 7}%, 3 MiB/s, ETA {7 - step}s"]
        lines += [
            f" * {name:>12}: {step * 13 % 100:2d}% /7Mi, 1Mi/s, 2s" for name in ("a.bin", "b.bin")[: 1 + step % 2]
        ]
        out.append("\x1b[2K\x1b[0G" + "\x1b[2K\n".join(lines) + "\x1b[J")
        out.append(f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else "")
        out.append("\x1b[0G")
    return "".join([*out, "\n\nend\n"]).encode()


def docker_pull() -> bytes:
    out = ["latest: Pulling from library/python\n"]
    layers = ["a3ed95caeb02", "1db09adb5ddd", "c0cb142e4345", "7c91a140e7a1"]
    out += [f"{layer}: Pulling fs layer \n" for layer in layers]
    for step in range(1, 5):
        for above, layer in enumerate(reversed(layers), 1):
            text = f"[{'=' * step * 10 + '>':<50}]  {step * 5}MB/20MB" if step < 4 else "Pull complete "
            out.append(f"\x1b[{above}A\x1b[2K\r{layer}: {text}\r\x1b[{above}B")
    return "".join([*out, "Digest: sha256:0a1b\n"]).encode()


def apt() -> bytes:
    """Draw a bar in the last row, below a part that scrolls."""
    out = ["Setting up\n" * 30, "\n\x1b7\x1b[0;24r\x1b8\x1b[1A"]
    for step in range(0, 101, 5):
        out.append(f"Unpacking package-{step} (1.{step}) ...\n")
        out.append(
            f"\x1b7\x1b[25;0f\x1b[42m\x1b[30mProgress: [{step:3d}%]\x1b[49m\x1b[39m [{'#' * (step // 2):.<50}] \x1b8"
        )
    return "".join([*out, "\x1b7\x1b[0;25r\x1b8\x1b[1A\x1b[J", "Processing triggers\n"]).encode()


SAMPLES = {maker.__name__: maker() for maker in (pip, ffmpeg, blender, keras, rclone, docker_pull, apt)}

_TEXTS = (
    "a", "xyz", "hello world", "  ", "0123456789", "größer", "→ ok ✓", "日本", "進x捗", "e\u0301", "\u0302", "한글 ", "░▒▓█━",
    "日\u0301", "<b>&", "\xa0", "ｗ",
)  # fmt: skip
_STYLES = (
    "0", "", "1", "3", "4", "5", "7", "9", "22", "23", "24", "25", "27", "29", "31", "1;32", "33;44", "39", "49", "90", "97",
    "104", "105", "38;5;208", "48;5;17", "38;5;9", "38;2;1;2;3", "48;2;250;128;0", "0;1;4;35;46", "38;5;300", "38;5", "38;2;1",
    "7;31", "27;39;49", ";1", "1;;3", "99", "48;5;1;1",
)  # fmt: skip


def made_up(random: Random, tokens: int = 60) -> bytes:
    """Return output in which everything occurs, and whose rows stay narrower than a comparison can be."""
    return "".join(_token(random) for _ in range(tokens)).encode()


def _token(random: Random) -> str:
    number = random.choice(["", "0", *map(str, range(1, 13))])
    kind = random.random()
    if kind < 0.35:
        return random.choice(_TEXTS)
    if kind < 0.5:
        return f"\x1b[{random.choice(_STYLES)}m"
    if kind < 0.65:
        return random.choice("\n\n\n\r\r\b\t\a\0\x7f\v\f")
    if kind < 0.8:
        return f"\x1b[{number}{random.choice('ABCDEFGdaeX@P`')}"
    if kind < 0.9:
        return f"\x1b[{random.choice(['', '0', '1', '2'])}{random.choice('KKKJ')}"
    return random.choice(
        [
            f"\x1b[{random.randint(0, 30)};{random.randint(0, 40)}{random.choice('Hf')}",
            f"\x1b[{number}{random.choice('LMST')}",
            random.choice(["\x1b7", "\x1b8", "\x1b[s", "\x1b[u", "\x1bD", "\x1bM", "\x1bE"]),
            f"\x1b[{random.randint(0, 20)};{random.randint(0, 26)}r",
            random.choice(["\x1b[r", "\x1b[?25l", "\x1b[?25h", "\x1bc", "\x1b(B", "\x1b=", "\x1b[3J", "\x1b[?7h"]),
            random.choice(["\x1b[99999A", "\x1b[99999B", "\x1b[99999D", "\x1b[99999C\x1b[99999D", "\x1b[99999;1H"]),
            random.choice(
                ["\x1b]0;title\x07", "\x1b]2;日本\x1b\\", "\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\"]
            ),
            random.choice(["\x1b[?1049h", "\x1b[?1049l", "\x1b[?1049l"]),
            "\n" * random.randint(1, 30),
        ]
    )
