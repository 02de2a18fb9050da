"""What the other tests rely on: nodes that are machines of their own, and that can be broken and mended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .cluster import NODES, Cluster
from .conftest import Calls


def test_each_node_has_a_name_processes_and_a_boot_of_its_own_and_shares_the_files(
    cluster: Cluster, tmp_path: Path
) -> None:
    told = "echo $(hostname) $(cat /proc/sys/kernel/random/boot_id) $(ls -d /proc/[0-9]* | wc -l)"
    for node in NODES:
        cluster.submit(f"{told} > {tmp_path}/{node}", f"--nodelist={node}", "--output=/dev/null", "--export=ALL")
    cluster.wait(lambda: not cluster.queue(running=True), "the end of all")
    lines = [(tmp_path / node).read_text().split() for node in NODES]
    assert [name for name, _, _ in lines] == list(NODES)
    boots = {boot for _, boot, _ in lines} | {Path("/proc/sys/kernel/random/boot_id").read_text().strip()}
    assert len(boots) == len(NODES) + 1
    assert all(int(processes) < 30 for _, _, processes in lines)


def test_a_node_that_was_broken_is_mended(cluster: Cluster) -> None:
    cluster.crash("n1")
    cluster.cut("n2")
    cluster.kill_slurmd("n3")
    cluster.set_down("n4")
    cluster.kill_controller()
    cluster.mend()
    assert cluster.node_states() == dict.fromkeys(NODES, "idle")


def test_all_processes_of_a_node_end_when_it_crashes(cluster: Cluster) -> None:
    job = cluster.submit("sleep 100 & setsid sleep 100", "--nodelist=n2", "--output=/dev/null", "--export=ALL")
    cluster.wait_for_state(job, "RUNNING")
    cluster.wait(lambda: len(cluster.pids("n2")) >= 5, "the start of its processes")
    pids = cluster.pids("n2")
    cluster.crash("n2")
    cluster.wait(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "the end of all processes")


def test_clients_are_counted_and_can_be_taken_away(cluster: Cluster, calls: Calls, tmp_path: Path) -> None:
    told = ("env", f"PATH={calls.folder}", "squeue", "--noheader", "--states=all")
    assert cluster.call(*told, check=False).returncode == 0
    assert [arguments for _, arguments in calls.of("squeue")] == ["--noheader --states=all"]
    calls.put("squeue", before="exit 7")
    assert cluster.call(*told, check=False).returncode == 7
    calls.remove()
    assert cluster.call(*told, check=False).returncode == 127
    assert len(calls.of("squeue")) == 2


def test_what_is_one_hosts_alone_is_hidden_from_nodes(cluster: Cluster, data: Path) -> None:
    os.remove(data / "run" / "wake")
    os.mkfifo(data / "run" / "wake")  # what lies over the first one went with it
    with pytest.raises(AssertionError), cluster.hidden(data / "run" / "wake", data / "config.toml"):
        assert cluster.exec("n3", "cat", str(data / "run" / "wake")).stdout == (data / "config.toml").read_text()
        cluster.exec("n3", "test", "-p", str(data / "run" / "wake"))
