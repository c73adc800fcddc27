"""Failures, interrupts and kills: the next `up` continues from there."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from engine.state.files import TEMPORARY_SUFFIX
from tests.engine.pulumi_project import PulumiProject, wait_for
from tests.processes import is_running

pytestmark = pytest.mark.slow

CHAIN = """
a = Thing("a")
b = Thing("b", of=a.serial, fails={fails!r})
c = Thing("c", of=b.serial)
pulumi.export("a", a.serial)
"""
WAITING = 'a = Thing("a")\nb = Thing("b", of=a.serial, waits=True)\nThing("c", of=b.serial)'


def test_after_a_failed_create_the_next_up_continues(project: PulumiProject) -> None:
    project.program(CHAIN.format(fails="create"))
    ran = project.run("up", "--yes")
    assert ran.code == 1
    assert "**creating failed" in ran.out and "create is out of order" in ran.out
    assert "Resource monitor has terminated" not in ran.text and "    1 errored" in ran.out
    state = project.resources()
    assert set(state) == {"things-dev", "default", "a"}
    assert state["things-dev"].outputs.get("a") == state["a"].id
    assert "pending_operations" not in project.deployment() and not list(project.locks.iterdir())

    project.program(CHAIN.format(fails=None))
    project.calls()
    project.up()
    assert [c for c in project.calls() if c.startswith("create")] == ["create b", "create c"]


def test_a_failed_update_and_a_failed_delete_keep_the_old_state(project: PulumiProject) -> None:
    project.program('Thing("a", size=1, fails="delete")\nThing("b", size=1, fails="update")')
    project.up()
    before = project.resources()["b"]
    project.program('Thing("b", size=2, fails="update")')
    ran = project.run("up", "--yes")
    after = project.resources()
    assert ran.code == 1 and "update is out of order" in ran.out
    assert after["b"].outputs == before.outputs and "a" in after
    ran = project.run("destroy", "--yes")
    assert ran.code == 1 and "delete is out of order" in ran.out
    assert "a" in project.resources() and "a" in project.cloud


def test_an_unfinished_replacement_does_not_delete_the_original_twice(
    project: PulumiProject,
) -> None:
    project.program('Thing("a", kind="x", first="delete")')
    project.up()
    project.program('Thing("a", kind="y", first="delete", fails="create")')
    project.calls()
    assert project.run("up", "--yes").code == 1
    assert "delete a" in project.calls() and project.cloud == {}
    assert project.resources()["a"].pending_replacement
    assert project.run("destroy", "--yes").code == 0
    assert project.calls() == [] and project.resources() == {}


def test_invalid_inputs_stop_the_preview(project: PulumiProject) -> None:
    project.program('Thing("a", size=-1)')
    ran = project.run("up", "--yes")
    assert ran.code == 1 and "must not be negative" in ran.out
    assert "create a" not in project.calls()


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ('raise pulumi.RunError("oh no")', "error: oh no"),
        ('raise ValueError("oh no")', "ValueError: oh no"),
        ("import sys; sys.exit(3)", "exited with non-zero exit code: 3"),
    ],
)
def test_a_failing_program_is_reported_and_changes_nothing(
    project: PulumiProject, statement: str, says: str
) -> None:
    project.program(f'Thing("a")\n{statement}')
    ran = project.run("up", "--yes")
    assert ran.code == 1 and says in ran.out and project.cloud == {}
    assert "runpy" not in ran.out


def test_a_program_that_fails_after_the_preview_keeps_finished_steps(
    project: PulumiProject,
) -> None:
    project.program(
        'a = Thing("a")\ndef check(serial):\n    raise ValueError(serial)\na.serial.apply(check)'
    )
    ran = project.run("up", "--yes")
    assert ran.code == 1 and "ValueError: a-" in ran.out
    assert "a" in project.resources()
    project.program('Thing("a")')
    assert "    2 unchanged" in project.up().out


def test_output_of_a_step_is_shown_while_it_runs(exact_project: PulumiProject) -> None:
    project = exact_project
    project.program('Thing("a", waits=True)')
    with project.started("up", "--yes") as process:
        project.wait_until_waiting(process)
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or "waiting for go" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], "".join(lines)
        assert "Thing a creating (0s) waiting for go" in lines[-1]
        project.go()
        assert process.wait() == 0


# Starts a command the way a script starts a background job.
IN_THE_BACKGROUND = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")


@pytest.mark.parametrize(
    ("number", "through"),
    [
        (signal.SIGINT, ()),
        (signal.SIGTERM, ()),
        (signal.SIGHUP, ()),
        (signal.SIGINT, IN_THE_BACKGROUND),
    ],
)
def test_an_interrupt_finishes_the_current_step_and_saves(
    exact_project: PulumiProject, number: int, through: tuple[str, ...]
) -> None:
    project = exact_project
    project.program(WAITING)
    with project.started("up", "--yes", through=through) as process:
        provider = project.wait_until_waiting(process)
        pending = project.deployment()["pending_operations"]
        assert [operation["type"] for operation in pending] == ["creating"]
        os.killpg(process.pid, number)  # as a terminal does
        assert process.stdout is not None
        while "interrupt again to exit immediately" not in (line := process.stdout.readline()):
            assert line
        project.go()
        out = process.communicate()[0]
        assert process.returncode == 8, out
    assert "To continue, run the same command again" in out
    assert set(project.resources()) == {"things-dev", "default", "a", "b"}
    assert "pending_operations" not in project.deployment()
    assert not is_running(provider) and not list(project.locks.iterdir())
    project.up()
    assert set(project.cloud) == {"a", "b", "c"}


def test_an_update_run_with_nohup_outlives_its_terminal(exact_project: PulumiProject) -> None:
    project = exact_project
    project.program(WAITING)
    with project.started("up", "--yes", through=("nohup",)) as process:
        project.wait_until_waiting(process)
        os.killpg(process.pid, signal.SIGHUP)  # as a closing terminal does
        project.go()
        out = process.communicate()[0]
        assert process.returncode == 0, out
    assert set(project.cloud) == {"a", "b", "c"}


def test_a_second_interrupt_exits_immediately(exact_project: PulumiProject) -> None:
    project = exact_project
    project.program(WAITING)
    with project.started("up", "--yes") as process:
        provider = project.wait_until_waiting(process)

        def interrupt_until_exited() -> bool:
            process.send_signal(signal.SIGINT)
            return process.poll() is not None

        wait_for(interrupt_until_exited)
        assert "error: exited while creating b" in process.communicate()[0]
        assert process.returncode == 8
    wait_for(lambda: not is_running(provider))
    assert len(project.deployment()["pending_operations"]) == 1
    assert not list(project.locks.iterdir())


SLOW_EXIT = """
import sys, time
from engine.command_line.cli import main
from engine.processes import child_process
kill_all = child_process.kill_all
child_process.kill_all = lambda: (kill_all(), time.sleep(1))
sys.exit(main(sys.argv[4:]))
"""


def test_a_second_interrupt_keeps_the_pending_operation_of_the_provider_it_kills(
    exact_project: PulumiProject,
) -> None:
    project = exact_project
    project.program(WAITING)
    slow = (sys.executable, "-c", SLOW_EXIT)  # so slow that the failed call is noticed meanwhile
    with project.started("up", "--yes", through=slow) as process:
        project.wait_until_waiting(process)

        def interrupt_until_exited() -> bool:
            process.send_signal(signal.SIGINT)
            return process.poll() is not None

        wait_for(interrupt_until_exited)
    (pending,) = project.deployment()["pending_operations"]
    assert pending["type"] == "creating" and pending["resource"]["urn"].endswith("::b")


@pytest.mark.parametrize("verb", ["up", "destroy"])
def test_after_a_kill_no_child_survives_and_the_next_run_converges(
    exact_project: PulumiProject, verb: str
) -> None:
    project = exact_project
    project.program(WAITING)
    if verb == "destroy":
        project.go()
        project.up()
        (project.folder / "go").unlink()
        (project.folder / "waiting").unlink()
    with project.started(verb, "--yes") as process:
        provider = project.wait_until_waiting(process)
        process.kill()
        process.wait()
        wait_for(lambda: not is_running(provider))
    assert len(list(project.locks.glob("*.json"))) == 1
    assert len(project.deployment()["pending_operations"]) == 1
    project.go()

    ran = project.run(verb, "--yes")
    assert ran.code == 0, ran.text
    assert ran.text.count("removed the stale lock of") == 1
    assert "an earlier operation was interrupted while" in ran.out
    assert set(project.cloud) == ({"a", "b", "c"} if verb == "up" else set())
    assert not list(project.locks.iterdir())
    assert "earlier operation" not in project.run(verb, "--yes").out


def test_a_hanging_program_does_not_outlive_the_engine(exact_project: PulumiProject) -> None:
    project = exact_project
    project.program(
        "import os, pathlib, time\n"
        'pathlib.Path("waiting").write_text(str(os.getpid()))\n'
        "time.sleep(3600)"
    )
    with project.started("preview") as process:
        program = project.wait_until_waiting(process)
        process.kill()
        process.wait()
        wait_for(lambda: not is_running(program))


def test_a_crashing_provider_process_fails_the_step(project: PulumiProject) -> None:
    project.change_provider('note("create", props)', "os._exit(9)")
    project.program('Thing("a")')
    ran = project.run("up", "--yes")
    assert ran.code == 1 and "the dynamic provider process exited during Create" in ran.out
    assert "a" not in project.resources()


def test_a_server_in_its_own_session_outlives_the_engine(project: PulumiProject) -> None:
    project.change_provider(
        'note("create", props)',
        "import subprocess, sys; server = subprocess.Popen("
        '[sys.executable, "-c", "import time; time.sleep(600)"], '
        "start_new_session=True, stdout=subprocess.DEVNULL); "
        '(HERE / "server").write_text(str(server.pid))',
    )
    project.program('Thing("a")')
    project.up()
    server = int((project.folder / "server").read_text())
    try:
        assert is_running(server)
    finally:
        os.kill(server, signal.SIGKILL)


def test_the_state_is_valid_json_with_a_backup(project: PulumiProject) -> None:
    project.program('Thing("a")')
    project.up()
    backup = project.checkpoint.with_name("dev.json.bak")
    assert json.loads(backup.read_text())["version"] == 3
    stacks = sorted(file.name for file in project.checkpoint.parent.iterdir())
    assert stacks == ["dev.json", "dev.json.bak"]
    assert not list(project.backend.rglob(f"*{TEMPORARY_SUFFIX}*"))
