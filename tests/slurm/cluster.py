"""A real Slurm on this machine: a controller and four nodes that can be crashed, cut off and mended.

Each node has a network, processes, mounts, a host name and a boot id of its own and shares the file system, as on a
cluster. Whatever is one host's alone is hidden from the nodes. Needs root and Linux namespaces.

The first process of each namespace is a shell that reads its commands from a pipe of ours. Should we die, however
that be, the pipes end, with them those shells, and with them all that runs in their namespaces, the network too.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROGRAMS = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "munged": "munge",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLIENTS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo")
NAMESPACES = ("--net", "--uts", "--ipc", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc")
ENTERED = ("--net", "--uts", "--ipc", "--pid", "--mount")
NODES = ("n1", "n2", "n3", "n4")
CPUS = 8  # declared, more than there are: a job that asks for them all has a node for itself
MEMORY_MB = 16000
CALL_S = 10.0
UP_S = 30.0

CONFIGURATION = """\
ClusterName=test
SlurmctldHost=ctl({network}.2)
SlurmctldPort=6817
SlurmdPort=6818
SlurmUser=slurm
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={root}/munge/socket,cred_expire=60
StateSaveLocation={root}/controller
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd.%n.pid
SlurmctldLogFile={root}/log/slurmctld
SlurmdLogFile={root}/log/slurmd.%n
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=2,nohold_on_prolog_fail
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
PropagateResourceLimits=NONE
SlurmctldTimeout=30
MessageTimeout=3
InactiveLimit=0
Waittime=0
JobRequeue=1
MaxJobCount=10000
Licenses=solver:1
"""
PARTITIONS = """\
PartitionName=main Nodes=n[1-4] Default=YES MaxTime=INFINITE DefaultTime=60 State=UP PriorityTier=1
PartitionName=urgent Nodes=n[1-4] MaxTime=INFINITE State=UP PriorityTier=10
"""
# Short, so that a silent node is given up after 12 s instead of minutes; yet a busy machine must not lose a node.
# Real sites have 300, 30 and 300.
TIMERS = {"SlurmdTimeout": 4, "KillWait": 2, "MinJobAge": 300}


class Cluster:
    """One Slurm with four nodes. `env` is what its clients need besides PATH."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # a socket's path must be short
        self.network = ""
        self._spaces: dict[str, subprocess.Popen[str]] = {}
        self._hidden: dict[str, str] = {}
        self._first_id = 1
        self._is_as_new = True  # the controller, since the last time that it was mended
        self.env = {"SLURM_CONF": str(self.root / "slurm.conf")}

    # --- up and down

    def up(self) -> None:
        """Start the controller and all nodes, and wait until they are idle."""
        for folder in ("munge", "controller", "spool", "run", "log"):
            (self.root / folder).mkdir()
        (self.root / "hosts").touch()
        self.root.chmod(0o755)
        for folder, owner in (("munge", "munge"), ("controller", "slurm"), ("log", "slurm"), ("run", "slurm")):
            shutil.chown(self.root / folder, owner, owner)
        self._start_space("ctl")
        self._lay_cable_to_us()
        self._configure()
        self._start_munge()
        self.start_controller()
        for node in NODES:
            self.start(node)
        self.wait(lambda: self.node_states() == dict.fromkeys(NODES, "idle"), "all nodes to be idle", UP_S)

    def down(self) -> None:
        """End all that was started, by ending the first process of each namespace."""
        for name in list(self._spaces):
            self._end_space(name)
        shutil.rmtree(self.root, ignore_errors=True)

    def mend(self) -> None:
        """Remove all jobs and bring back whatever was broken: the next test finds a cluster like new."""
        self.start_controller()
        for node in NODES:
            self.heal(node)
            self.start(node)
            self.start_slurmd(node)
        self.wait(lambda: self.call("scancel", "--me", check=False).returncode == 0, "the controller to answer", UP_S)
        self.wait(self._is_idle, self._told, UP_S)
        if not self._is_as_new:  # a node may still have a job of an id that the controller would give again
            self.give_new_ids()
            self._is_as_new = True

    def reconfigure(self, **timers: int) -> None:
        """Have Slurm use other timers until it is mended."""
        self._configure(**timers)
        self._is_as_new = False
        self.call("scontrol", "reconfigure")

    def give_new_ids(self) -> int:
        """Have Slurm go on with an id that it never gave, also should it lose its memory. Return that id."""
        self._first_id += 10000
        self.reconfigure()
        return self._first_id

    def _is_idle(self) -> bool:
        states = self.node_states()
        for node, state in states.items():
            if state.rstrip("*") in ("down", "drained", "draining"):
                self.call("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        return states == dict.fromkeys(NODES, "idle") and not self.queue(running=True)

    def _told(self) -> str:
        tail = (self.root / "log" / "slurmctld").read_text()[-3000:]
        return f"a cluster without jobs: {self.node_states()}\n{self.queue()}\n{tail}"

    def _configure(self, **timers: int) -> None:
        lines = [CONFIGURATION.format(root=self.root, network=self.network)]
        lines += [f"{name}={value}\n" for name, value in {**TIMERS, **timers, "FirstJobId": self._first_id}.items()]
        for number, node in enumerate(NODES, 101):
            lines.append(f"NodeName={node} NodeAddr={self.network}.{number} CPUs={CPUS} RealMemory={MEMORY_MB}\n")
        (self.root / "slurm.conf").write_text("".join(lines) + PARTITIONS)
        hosts = [f"{self.network}.{number} {node}\n" for number, node in enumerate(NODES, 101)]
        (self.root / "hosts").write_text(f"127.0.0.1 localhost\n{self.network}.2 ctl\n" + "".join(hosts))

    # --- the controller

    def start_controller(self) -> None:
        """Start slurmctld unless it runs."""
        if self._daemon("ctl", "slurmctld") is None:
            self._order("ctl", f"setsid slurmctld -D >>{self.root}/log/slurmctld.out 2>&1 </dev/null &")
            self.wait(lambda: self._daemon("ctl", "slurmctld"), "the start of slurmctld")

    def kill_controller(self) -> None:
        """SIGKILL slurmctld."""
        self._is_as_new = False
        self._kill_daemon("ctl", "slurmctld")

    @contextlib.contextmanager
    def hanging_controller(self) -> Iterator[None]:
        """Have slurmctld take connections and answer none."""
        pid = self._daemon("ctl", "slurmctld")
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def forget_everything(self) -> None:
        """Lose what the controller, which must not run, keeps: all jobs, and which ids were given."""
        shutil.rmtree(self.root / "controller")
        (self.root / "controller").mkdir()
        shutil.chown(self.root / "controller", "slurm", "slurm")

    def _start_munge(self) -> None:
        key = self.root / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        shutil.chown(key, "munge", "munge")
        socket = self.root / "munge" / "socket"
        files = (
            f"--key-file {key} --pid-file {key.parent}/pid --seed-file {key.parent}/seed --log-file {key.parent}/log"
        )
        who = "setpriv --reuid munge --regid munge --clear-groups"
        self._order("ctl", f"setsid {who} munged -F --socket {socket} {files} >/dev/null 2>&1 </dev/null &")
        self.wait(socket.exists, "munged's socket")

    # --- nodes

    def start(self, node: str) -> None:
        """Bring a node up with its slurmd, unless it is."""
        if node in self._spaces:
            return
        pid = self._start_space(node)
        number = NODES.index(node) + 101
        cable = f"v{number}"
        self._run(
            "ip",
            "link",
            "add",
            cable,
            "netns",
            str(self._pid("ctl")),
            "type",
            "veth",
            "peer",
            "eth0",
            "netns",
            str(pid),
        )
        self._in_space(node, f"ip addr add {self.network}.{number}/24 dev eth0; ip link set eth0 up; ip link set lo up")
        self._in_space("ctl", f"ip link set {cable} master bridge up")
        for path, behind in self._hidden.items():
            self._in_space(node, f"mount --bind {behind} {path}")
        self.start_slurmd(node)

    def crash(self, node: str) -> None:
        """Take its power away: everything on it ends at once."""
        self._end_space(node)

    def start_slurmd(self, node: str) -> None:
        """Start its slurmd unless it runs."""
        if self._daemon(node, "slurmd") is None:
            self._order(node, f"setsid slurmd -D -N {node} >>{self.root}/log/slurmd.{node}.out 2>&1 </dev/null &")
            self.wait(lambda: self._daemon(node, "slurmd"), f"the start of slurmd on {node}")

    def kill_slurmd(self, node: str) -> None:
        """SIGKILL its slurmd; its jobs live on."""
        self._kill_daemon(node, "slurmd")

    def cut(self, node: str) -> None:
        """Unplug its network: it goes on, and reaches nobody."""
        self._in_space("ctl", f"ip link set v{NODES.index(node) + 101} down")

    def heal(self, node: str) -> None:
        """Plug its network in again."""
        if node in self._spaces:
            self._in_space("ctl", f"ip link set v{NODES.index(node) + 101} up")

    def set_down(self, node: str) -> None:
        """Have the administrator take it away: its jobs fail at once."""
        self.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def set_drain(self, *nodes: str) -> None:
        """Have nothing new start on nodes."""
        self.call("scontrol", "update", f"nodename={','.join(nodes)}", "state=drain", "reason=test")

    def resume(self, *nodes: str) -> None:
        """Have nodes take jobs again; one that was down may have come back by itself."""
        self.call("scontrol", "update", f"nodename={','.join(nodes)}", "state=resume", check=False)

    def node_states(self) -> dict[str, str]:
        """Return what Slurm says of each node: idle, mixed, allocated, completing, down, drained, ... (`*`: silent)."""
        done = self.call("sinfo", "--noheader", "--Node", "--partition=main", "--format=%N %T", check=False)
        return dict(line.split() for line in done.stdout.splitlines())

    def exec(self, node: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on a node to its end."""
        return self._run("nsenter", "-t", str(self._pid(node)), *ENTERED, "--", *command, check=check)

    def pids(self, node: str) -> set[int]:
        """Return the processes that run on a node, by their numbers here."""
        space = os.readlink(f"/proc/{self._pid(node)}/ns/pid")
        found = set()
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{name}/ns/pid") == space:
                    found.add(int(name))
        return found

    @contextlib.contextmanager
    def hidden(self, path: Path, behind: Path) -> Iterator[None]:
        """Have all nodes see another file, `behind`, in place of one that only this host is to use."""
        self._hidden[str(path)] = str(behind)
        for node in self._spaces.keys() & set(NODES):
            self._in_space(node, f"mount --bind {behind} {path}")
        yield
        del self._hidden[str(path)]
        for node in self._spaces.keys() & set(NODES):
            self._in_space(node, f"umount -l {path} || true")  # it goes by itself with the file that it lies on

    # --- clients

    def call(
        self, program: str, *args: str, check: bool = True, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Call a client of Slurm. These calls are not counted."""
        return self._run(program, *args, check=check, text=text)

    def submit(self, script: str, *args: str) -> str:
        """Submit a shell script directly. Return Slurm's id."""
        told = ("--parsable", "--chdir=/", *args)
        return self.call("sbatch", *told, text=f"#!/bin/sh\n{script}\n").stdout.strip()

    def queue(self, running: bool = False) -> dict[str, dict[str, Any]]:
        """Return what squeue says of all jobs, those ended not long ago too unless only running ones are wanted."""
        done = self.call("squeue", "--json", *(() if running else ("--states=all",)), check=False)
        jobs = json.loads(done.stdout)["jobs"] if done.returncode == 0 else []
        ended = ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY", "DEADLINE")
        return {str(job["job_id"]): job for job in jobs if not running or job["job_state"] not in ended}

    def state(self, slurm_id: str) -> str:
        """Return the state of a job as squeue says it, empty if it knows none of that id."""
        return str(self.queue().get(slurm_id, {}).get("job_state", ""))

    def wait_for_state(self, slurm_id: str, *states: str, timeout_s: float = 20) -> None:
        """Wait until a job has one of these states."""
        self.wait(lambda: self.state(slurm_id) in states, self._told, timeout_s)

    # --- namespaces

    def _start_space(self, name: str) -> int:
        """Start a shell in namespaces of its own that does what it reads. Return its pid as we see it."""
        with (self.root / "log" / f"{name}.shell").open("ab") as log:
            shell = subprocess.Popen(
                ["unshare", *NAMESPACES, "bash"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={"PATH": SYSTEM, **self.env},
                text=True,
                cwd="/",
                start_new_session=True,
            )
        self._spaces[name] = shell
        boot = self.root / "run" / f"boot.{name}"
        boot.write_text(f"{uuid.uuid4()}\n")
        self.wait(lambda: self._children(shell.pid), f"the first process of {name}")
        self._order(name, f"hostname {name}")
        self._order(name, f"mount --bind {boot} /proc/sys/kernel/random/boot_id")
        self._order(name, f"mount --bind {self.root}/hosts /etc/hosts; mount -t tmpfs tmpfs /dev/shm")
        self._order(name, f"touch {boot}.ready")
        self.wait(Path(f"{boot}.ready").exists, f"{name} to be prepared")
        Path(f"{boot}.ready").unlink()
        return self._pid(name)

    def _end_space(self, name: str) -> None:
        shell = self._spaces.pop(name)
        for pid in self._children(shell.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            shell.stdin.close()  # type: ignore[union-attr]
        shell.kill()
        shell.wait(10)

    def _lay_cable_to_us(self) -> None:
        """Join this host with the cluster, in the first network that nobody uses; the cable goes when the cluster does."""
        controller = self._pid("ctl")
        for number in range(256):
            cable, self.network = f"slurm{number}", f"10.213.{number}"
            made = self._run(
                "ip", "link", "add", cable, "type", "veth", "peer", "us", "netns", str(controller), check=False
            )
            if made.returncode == 0 and not self._run("ip", "route", "show", f"{self.network}.0/24").stdout:
                break
            if made.returncode == 0:
                self._run("ip", "link", "del", cable)
        self._run("ip", "addr", "add", f"{self.network}.1/24", "dev", cable)
        self._run("ip", "link", "set", cable, "up")
        address = f"ip addr add {self.network}.2/24 dev bridge; ip link set bridge up; ip link set lo up"
        self._in_space("ctl", f"ip link add bridge type bridge; {address}; ip link set us master bridge up")

    def _order(self, name: str, line: str) -> None:
        pipe = self._spaces[name].stdin
        assert pipe is not None
        pipe.write(f"{line}\n")
        pipe.flush()

    def _in_space(self, name: str, line: str) -> None:
        self._run("nsenter", "-t", str(self._pid(name)), *ENTERED, "--", "sh", "-ec", line)

    def _pid(self, name: str) -> int:
        return self._children(self._spaces[name].pid)[0]

    @staticmethod
    def _children(pid: int) -> list[int]:
        with contextlib.suppress(OSError):
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    def _daemon(self, name: str, program: str) -> int | None:
        for pid in self._children(self._pid(name)):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == program:
                    return pid
        return None

    def _kill_daemon(self, name: str, program: str) -> None:
        pid = self._daemon(name, program)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            self.wait(lambda: self._daemon(name, program) != pid, f"the death of {program}")

    def _run(self, *command: str, check: bool = True, text: str | None = None) -> subprocess.CompletedProcess[str]:
        more: dict[str, Any] = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
        done = subprocess.run(
            ["timeout", "-k", "1", str(CALL_S), *command],
            env={**os.environ, "PATH": SYSTEM, **self.env},
            capture_output=True,
            text=True,
            cwd="/",
            **more,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    @staticmethod
    def wait(condition: Callable[[], Any], what: str | Callable[[], str], timeout_s: float = 10) -> Any:
        """Return what the condition returns as soon as it is true."""
        deadline = time.monotonic() + timeout_s
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {timeout_s:g} s in vain for {what() if callable(what) else what}")
            time.sleep(0.02)
        return found


def what_is_missing() -> str | None:
    """Say why no cluster can be started here, None if one can."""
    if os.geteuid() != 0:
        return "needs root, for namespaces"
    for program, package in PROGRAMS.items():
        if shutil.which(program, path=SYSTEM) is None:
            return f"{program} is missing, apt-get install {package}"
    tried = subprocess.run(
        ["unshare", *NAMESPACES, "ip", "link", "add", "type", "veth"], capture_output=True, text=True
    )
    return f"no namespaces or networks can be made here: {tried.stderr}" if tried.returncode else None


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run a cluster, and end it whatever happens."""
    cluster = Cluster()
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()
