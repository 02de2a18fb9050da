"""What may be asked of Slurm, what sbatch is called with for it, and Slurm's reasons in words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from running_jobs.errors import InvalidJob
from running_jobs.job import IDLE, Job
from running_jobs.settings import Settings
from running_jobs.slurm_options import CHECKS, arguments, asked_by, asked_for, check_settings
from running_jobs.slurm_words import why_waiting


def job(**options: Any) -> Job:
    return Job(id="a" * 8, status=IDLE, command={"type": "exec", "cmd": "true"}, executor="slurm", **options)


def settings(**slurm: Any) -> Settings:
    return Settings(data="/x", slurm=slurm)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("partition", "main"), ("partition", "gpu,main"), ("partition", "größe"), ("account", "phys-1"), ("qos", "a.b"),
        ("cpus", 1), ("cpus", 96), ("mem", "4G"), ("mem", "500"), ("mem", "0"), ("mem", "8g"), ("gpus", "1"),
        ("gpus", "a100:2"), ("gpus", "a100:2,v100:1"), ("gpus", "0"), ("time", "90"), ("time", "10:30"),
        ("time", "1:10:30"), ("time", "2-0"), ("time", "2-12:30"), ("time", "2-12:30:59"), ("slurm_args", []),
        ("slurm_args", ["--nodes=2", "--exclusive", "-n4"]),
    ],
)  # fmt: skip
def test_what_slurm_takes_is_taken_as_it_is(name: str, value: Any) -> None:
    assert CHECKS[name](name, value) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("partition", ""), ("partition", "-p"), ("partition", "--hold"), ("partition", "a b"), ("partition", "a\nb"),
        ("partition", "a\0"), ("partition", 3), ("partition", "x" * 201), ("partition", "\ud800"), ("account", "="),
        ("qos", ["a"]), ("cpus", 0), ("cpus", -1), ("cpus", "4"), ("cpus", True), ("cpus", 1.5), ("mem", 4), ("mem", "4 G"),
        ("mem", "-4G"), ("mem", "4GiB"), ("mem", "lots"), ("mem", ""), ("gpus", -1), ("gpus", True), ("gpus", 1.5),
        ("gpus", "a100:"), ("gpus", "a100:-1"), ("gpus", "two"), ("gpus", 10**9), ("time", 90), ("time", "1:2:3:4"),
        ("time", "1 h"), ("time", "-1"), ("time", "1-"), ("time", "1-1:1:1:1"), ("time", "UNLIMITED"), ("time", "٣"),
        ("slurm_args", "--nodes=2"), ("slurm_args", [3]), ("slurm_args", ["--nodes=" + "1" * 1000]),
        ("slurm_args", ["--exclusive"] * 101), ("slurm_args", ["--constraint=a\0b"]),
    ],
)  # fmt: skip
def test_what_slurm_would_not_take_or_would_take_for_another_option_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidJob, match=f"^{name}: ") as caught:
        CHECKS[name](name, value)
    assert len(str(caught.value)) < 400


def test_a_number_of_gpus_is_kept_as_a_text() -> None:
    assert CHECKS["gpus"]("gpus", 2) == "2"


OURS = [
    "array", "begin", "chdir", "comment", "error", "export", "export-file", "get-user-env", "input", "job-name",
    "kill-on-invalid-dep", "open-mode", "output", "parsable", "no-requeue", "requeue", "test-only", "uid", "gid", "wait",
    "wrap", "clusters", "dependency", "hold", "help", "usage", "version", "signal", "nice", "ignore-pbs",
    "partition", "account", "qos", "cpus-per-task", "mem", "gpus", "time",
]  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_what_running_jobs_relies_on_cannot_be_given_by_its_name_or_its_begin(name: str) -> None:
    for given in (f"--{name}", f"--{name}=1", f"--{name[:-1]}=1", f"--{name[:3]}"):
        with pytest.raises(InvalidJob, match="cannot be given"):
            CHECKS["slurm_args"]("slurm_args", ["--exclusive", given])


@pytest.mark.parametrize("letter", "aAbcdDeGhHiJMopqtVW")
def test_nor_by_its_short_form(letter: str) -> None:
    for given in (f"-{letter}", f"-{letter}1"):
        with pytest.raises(InvalidJob, match="cannot be given"):
            CHECKS["slurm_args"]("slurm_args", [given])


@pytest.mark.parametrize(
    "given", ["", "-", "--", ":", "2", "script.sh", "-sH", "-kW", "-n", "-w", "-z1", " --hold", "--=x", "---x", "−n4"]
)
def test_nor_by_what_is_no_single_option_with_its_value(given: str) -> None:
    with pytest.raises(InvalidJob, match="one text"):
        CHECKS["slurm_args"]("slurm_args", [given])


@pytest.mark.parametrize(
    "given",
    ["--constraint", "--nodes", "--nodel", "--mem-per-cpu", "--mail", "--tres-per-task", "--tres-b", "--segment"],
)
def test_an_option_that_would_take_the_next_argument_for_its_value_is_refused(given: str) -> None:
    with pytest.raises(InvalidJob, match="needs a value"):
        CHECKS["slurm_args"]("slurm_args", [given, "--exclusive"])


@pytest.mark.parametrize(
    "given",
    [
        "--nodes=2", "--contiguous", "--overcommit", "--oversubscribe", "--reboot", "--spread-job", "--use-min-nodes", "--quiet", "--a-plugin", "--exclusive", "--exclusive=user", "--constraint=a&b", "--mem-per-cpu=1G", "--mem-bind=none",
        "--wait-all-nodes=1", "--time-min=5", "--no-kill", "--propagate=NONE", "--gpus-per-node=1", "--gres=gpu:1",
        "--mail-type=END", "--mail-user=a b@c", "--container-image=x", "--prefer=x", "-n4", "-N1-2", "-wn1", "-Cfast", "-s",
    ],
)  # fmt: skip
def test_everything_else_may_be_given(given: str) -> None:
    assert CHECKS["slurm_args"]("slurm_args", [given]) == [given]


def test_a_hint_says_which_option_to_use_instead() -> None:
    for given, hint in (("--cpus-per-task=4", "use the option cpus$"), ("-b", "delay or at"), ("--nice=3", "priority")):
        with pytest.raises(InvalidJob, match=hint):
            CHECKS["slurm_args"]("slurm_args", [given])


def test_each_option_becomes_one_argument_and_the_settings_stand_in_for_what_a_job_leaves_out() -> None:
    usual = settings(partition="main", cpus=2, mem="1G", args=["--exclusive"], slots=3)
    assert arguments(job(), usual) == ["--partition=main", "--cpus-per-task=2", "--mem=1G", "--exclusive"]
    whole = job(
        partition="gpu", account="a", qos="q", cpus=4, mem="4G", gpus="a100:1", time="1-0", slurm_args=["--nodes=1"]
    )
    assert arguments(whole, usual) == [
        "--partition=gpu", "--account=a", "--qos=q", "--cpus-per-task=4", "--mem=4G", "--gpus=a100:1", "--time=1-0",
        "--exclusive", "--nodes=1",
    ]  # fmt: skip
    assert arguments(job(), settings()) == []


def test_a_job_can_do_without_the_gpus_and_with_another_kind_of_memory_than_the_settings_ask_for() -> None:
    usual = settings(gpus="1", mem="1G")
    assert arguments(job(gpus="0"), usual) == ["--mem=1G"]
    assert arguments(job(slurm_args=["--mem-per-cpu=2G"]), usual) == ["--gpus=1", "--mem-per-cpu=2G"]
    assert arguments(job(gpus="10"), settings()) == ["--gpus=10"]


@pytest.mark.parametrize(
    ("usual", "own", "handed_over"),
    [
        ({"args": ["--mem-per-cpu=2G", "-s"]}, {"mem": "8G"}, ["--mem=8G", "-s"]),
        ({"args": ["--mem-per-g=2G", "--mem-bind=none"]}, {"mem": "8G"}, ["--mem=8G", "--mem-bind=none"]),
        ({"mem": "1G"}, {"slurm_args": ["--mem-per-c=2G"]}, ["--mem-per-c=2G"]),
        ({"args": ["--mem-per-cpu=2G"]}, {"slurm_args": ["--mem-per-gpu=1G"]}, ["--mem-per-gpu=1G"]),
        ({"args": ["--mem-per-cpu=2G"]}, {"cpus": 2}, ["--cpus-per-task=2", "--mem-per-cpu=2G"]),
        ({"mem": "1G"}, {"slurm_args": ["--mem-bind=none"]}, ["--mem=1G", "--mem-bind=none"]),
        ({"args": ["--cpus-per-gpu=4"]}, {"cpus": 2}, ["--cpus-per-task=2"]),
        ({"cpus": 2}, {"slurm_args": ["--cpus-per-g=4"]}, ["--cpus-per-g=4"]),
        ({"args": ["--gpus-per-node=1", "--gpus-per-t=1", "--gres=gpu:a100:1", "--nodes=1"]}, {"gpus": "0"}, ["--nodes=1"]),
        ({"args": ["--gres=gpu,license:2,gpu:2"]}, {"gpus": "0"}, ["--gres=license:2"]),
        ({"args": ["--gres=gpux:1"]}, {"gpus": "0"}, ["--gres=gpux:1"]),
        ({"args": ["--gpus-per-node=1"]}, {"gpus": "2"}, ["--gpus=2", "--gpus-per-node=1"]),
        ({"gpus": "0", "args": ["--gres=gpu:1"]}, {}, ["--gres=gpu:1"]),
    ],
)  # fmt: skip
def test_of_what_excludes_each_other_what_is_nearer_to_the_job_counts(
    usual: dict[str, Any], own: dict[str, Any], handed_over: list[str]
) -> None:
    assert arguments(job(**own), settings(**usual)) == handed_over


@pytest.mark.parametrize(
    "own",
    [
        {"mem": "4G", "slurm_args": ["--nodes=1", "--mem-per-cpu=1G"]}, {"mem": "4G", "slurm_args": ["--mem-per-g=1G"]},
        {"slurm_args": ["--mem-per-cpu=1G", "--mem-per-gpu=1G"]}, {"cpus": 2, "slurm_args": ["--cpus-per-gpu=1"]},
    ],
)  # fmt: skip
def test_what_excludes_each_other_is_refused_in_one_place(own: dict[str, Any]) -> None:
    with pytest.raises(InvalidJob, match=r"^slurm_args: .*; leave one out"):
        arguments(job(**own), settings())
    table = {"args" if name == "slurm_args" else name: value for name, value in own.items()}
    with pytest.raises(InvalidJob, match=r"^args: .*; leave one out"):
        check_settings(table)


def test_what_somebody_edited_by_hand_into_a_job_is_not_handed_to_sbatch() -> None:
    for damage in ({"partition": "--hold"}, {"cpus": -1}, {"slurm_args": ["--array=1-9"]}, {"slurm_args": [3]}):
        with pytest.raises(InvalidJob):
            arguments(job(**damage), settings())
    assert asked_for({"slurm_args": [3]}, settings()) == {"slurm_args": []}, "a page that shows it goes on"


def test_the_table_of_the_settings_is_checked_key_by_key() -> None:
    assert check_settings({}) == {"slots": 0}
    given = {"partition": "main", "cpus": 2, "gpus": 1, "args": ["--exclusive"], "slots": 4}
    assert check_settings(given) == {**given, "gpus": "1"}
    for table, key in (
        ({"cpu": 2}, "cpu"), ({"cpus": "2"}, "cpus"), ({"slots": -1}, "slots"), ({"slots": True}, "slots"),
        ({"args": ["--hold"]}, "args"), ({"slurm_args": []}, "slurm_args"), ({"time": 90}, "time"),
    ):  # fmt: skip
        with pytest.raises(InvalidJob) as caught:
            check_settings(table)
        assert caught.value.field == key


@pytest.mark.parametrize(
    ("state", "why", "options", "said"),
    [
        ("PENDING", "Resources", {}, "waits for free resources"),
        ("PENDING", "Priority", {}, "waits: others come first"),
        ("PENDING", "BeginTime", {}, "waits for its time"),
        ("PENDING", "None", {}, "waits in Slurm, which has not looked at it yet"),
        ("PENDING", "", {}, "waits in Slurm"),
        ("PENDING", "QOSMaxJobsPerUserLimit", {}, "held back by a limit of its QOS (QOSMaxJobsPerUserLimit)"),
        ("PENDING", "QOSGrpGRES", {}, "held back by a limit of its QOS (QOSGrpGRES)"),
        ("PENDING", "AssocGrpCpuLimit", {}, "held back by a limit of its account (AssocGrpCpuLimit)"),
        ("PENDING", "MaxJobsPerAccount", {}, "held back by a limit of its account (MaxJobsPerAccount)"),
        ("PENDING", "PartitionConfig", {"cpus": 99}, "will never start as asked: asks for 99 CPUs (PartitionConfig)"),
        (
            "PENDING", "PartitionTimeLimit", {"cpus": 1, "time": "9-0"},
            "will never start as asked: asks for a time limit of 9-0 (PartitionTimeLimit)",
        ),
        (
            "PENDING", "BadConstraints", {"cpus": 1, "mem": "4000", "gpus": "a100:2", "slurm_args": ["--constraint=x"]},
            "will never start as asked: asks for 1 CPU, 4000M of memory, a100:2 GPUs, --constraint=x (BadConstraints)",
        ),
        ("PENDING", "PartitionNodeLimit", {}, "will never start as asked: its partition does not take it (PartitionNodeLimit)"),
        (
            "PENDING", "ReqNodeNotAvail, UnavailableNodes:n1", {},
            "waits: the nodes that it needs are down, drained or reserved (ReqNodeNotAvail, UnavailableNodes:n1)",
        ),
        (
            "PENDING", "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions", {},
            "waits: the nodes that it needs are down, drained or reserved",
        ),
        ("PENDING", "JobHeldUser", {}, "is held in Slurm; scontrol release lets it go on (JobHeldUser)"),
        ("PENDING", "PartitionDown", {}, "waits: its partition is down (PartitionDown)"),
        ("NOT_TAKEN", "AssocGrpSubmitJobsLimit", {}, "held back by a limit of its account (AssocGrpSubmitJobsLimit)"),
        ("NOT_TAKEN", "lua: no", {"cpus": 9}, "Slurm does not take it for now: lua: no"),
        ("FAILED_START", "its runner ended", {}, "could not start and is tried again: its runner ended"),
        (
            "PENDING", "launch failed requeued held", {},
            "is held in Slurm: it could not be started on its node; scontrol release tries again",
        ),
        ("PENDING", "NewInSlurm99", {}, "waits in Slurm: NewInSlurm99"),
        ("CONFIGURING", "None", {}, "its nodes are being made ready"),
        ("RUNNING", "None", {}, "is about to begin"),
        ("NEW_STATE", "", {}, "is NEW_STATE in Slurm"),
    ],
)  # fmt: skip
def test_slurms_reasons_are_said_in_words(state: str, why: str, options: dict[str, Any], said: str) -> None:
    assert why_waiting(state, why, asked_for(asked_by(job(**options)), settings())) == said


def test_what_slurm_says_is_short_and_harmless_whatever_it_says() -> None:
    said = why_waiting("PENDING", "x\x1b[31m\n" + "y" * 5000, {})
    assert len(said) < 250
    assert re.fullmatch(r"[ -~…]+", said)


def test_a_wish_that_comes_from_the_settings_is_named_too() -> None:
    asked = asked_for({}, settings(cpus=99))
    assert why_waiting("PENDING", "PartitionConfig", asked).startswith("will never start as asked: asks for 99 CPUs")
