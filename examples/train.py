"""Trains a classifier on scikit-learn's handwritten digits, epoch by epoch, as a job that is worth watching.

    python train.py --epochs 40

Prints a progress bar on one line and the accuracy after each epoch; writes metrics.csv and curve.png into the
job's results folder ($JOB_FILES), or into the current directory. Needs scikit-learn and matplotlib.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

matplotlib.use("Agg")
from matplotlib import pyplot as plt

BATCH = 64
SEED = 7
BAR = 24


def main() -> None:
    """Train, and write down how it went as it goes, so that a stop loses nothing."""
    parser = argparse.ArgumentParser(description="Train a classifier on handwritten digits.")
    parser.add_argument("--epochs", type=int, default=20, help="how often all examples are seen (20)")
    parser.add_argument("--pause", type=float, default=0, help="seconds to rest after an epoch, for a longer job (0)")
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error("--epochs: expected 1 or more")
    folder = Path(os.environ.get("JOB_FILES", "."))

    digits = load_digits()
    parts = train_test_split(digits.data / 16, digits.target, test_size=0.25, random_state=SEED, stratify=digits.target)
    model = MLPClassifier(hidden_layer_sizes=(48,), learning_rate_init=0.004, random_state=SEED)
    shuffle = np.random.default_rng(SEED)
    print(f"{len(parts[0])} digits to learn from, {len(parts[1])} to be tested with, {options.epochs} epochs")
    history: list[dict[str, float]] = []
    for epoch in range(1, options.epochs + 1):
        history.append({"epoch": epoch, **train_one_epoch(model, parts, shuffle, f"epoch {epoch}/{options.epochs}")})
        print(f"epoch {epoch}: loss {history[-1]['loss']:.4f}, accuracy {history[-1]['accuracy']:.4f}")
        write_metrics(folder / "metrics.csv", history)
        if epoch % 5 == 0 or epoch == options.epochs:
            draw_curve(folder / "curve.png", history)
        time.sleep(options.pause)
    print(f"final accuracy {history[-1]['accuracy']:.4f}")


def train_one_epoch(
    model: MLPClassifier, parts: list[np.ndarray], shuffle: np.random.Generator, label: str
) -> dict[str, float]:
    """Show the model every example once, in another order each time; return loss, accuracy and seconds."""
    train_x, test_x, train_y, test_y = parts
    started = time.perf_counter()
    batches = np.array_split(shuffle.permutation(len(train_x)), len(train_x) // BATCH)
    losses = []
    for number, batch in enumerate(batches, 1):
        model.partial_fit(train_x[batch], train_y[batch], classes=np.arange(10))
        losses.append(model.loss_)
        show_progress(label, number, len(batches), time.perf_counter() - started)
    return {
        "loss": round(float(np.mean(losses)), 5),
        "accuracy": round(float(model.score(test_x, test_y)), 5),
        "seconds": round(time.perf_counter() - started, 3),
    }


def show_progress(label: str, done: int, total: int, seconds: float) -> None:
    """Draw a bar over the one before: a carriage return goes back to the line's begin."""
    filled = BAR * done // total
    bar = "#" * filled + "." * (BAR - filled)
    sys.stdout.write(f"\r{label} |{bar}| {done}/{total} [{seconds:.1f} s]" + ("\n" if done == total else ""))
    sys.stdout.flush()


def write_metrics(path: Path, history: list[dict[str, float]]) -> None:
    """Write one row an epoch."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)


def draw_curve(path: Path, history: list[dict[str, float]]) -> None:
    """Draw accuracy and loss over the epochs so far."""
    epochs = [row["epoch"] for row in history]
    figure, left = plt.subplots(figsize=(6.4, 4.2), dpi=100, layout="constrained")
    right = left.twinx()
    (accuracy,) = left.plot(epochs, [row["accuracy"] for row in history], color="#1f6f54", label="accuracy", marker=".")
    (loss,) = right.plot(epochs, [row["loss"] for row in history], color="#a8231b", label="loss", linestyle="--")
    left.set(xlabel="epoch", ylabel="accuracy on the test digits", title="Handwritten digits", ylim=(0, 1.02))
    left.xaxis.get_major_locator().set_params(integer=True)
    left.grid(alpha=0.25)
    right.set(ylabel="loss", ylim=(0, None))
    left.legend(handles=[accuracy, loss], loc="center right")
    figure.savefig(f"{path}.part", format="png")
    plt.close(figure)
    Path(f"{path}.part").replace(path)  # whoever looks meanwhile sees a whole picture


if __name__ == "__main__":
    main()
