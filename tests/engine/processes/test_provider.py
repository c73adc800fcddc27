"""Failed calls of the provider: the text shown, and a process that refuses its configuration."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import pytest

from engine.processes.provider import failure_message
from tests.engine.pulumi_project import PulumiProject

pytestmark = pytest.mark.slow

REFUSING_PROVIDER = """
import grpc, sys, time
from concurrent import futures
from pulumi.runtime.proto import provider_pb2_grpc
class Provider(provider_pb2_grpc.ResourceProviderServicer):
    def Configure(self, request, context):
        context.abort(grpc.StatusCode.UNKNOWN, "the config is not for me")
server = grpc.server(futures.ThreadPoolExecutor(1))
provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
"""


def failed(error: BaseException, cause: BaseException | None = None) -> str:
    """The text that `pulumi.dynamic` sends for an exception, with or without a context."""
    try:
        try:
            if cause is not None:
                raise cause
        finally:
            raise error
    except type(error):
        return traceback.format_exc()


@pytest.mark.parametrize("cause", [None, OSError("busy"), RuntimeError("inner")])
def test_a_runtime_error_is_shown_without_its_traceback(cause: BaseException | None) -> None:
    assert failure_message(failed(RuntimeError("port 8501 is in use: set restPort"), cause)) == (
        "port 8501 is in use: set restPort"
    )


@pytest.mark.parametrize("cause", [None, RuntimeError("inner")])
def test_any_other_exception_keeps_its_traceback(cause: BaseException | None) -> None:
    text = failed(KeyError("restPort"), cause)
    assert failure_message(text) == text


def test_a_message_that_is_not_a_traceback_is_unchanged() -> None:
    assert failure_message("the call was refused\nRuntimeError: x") == (
        "the call was refused\nRuntimeError: x"
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "flags", [[], ["--skip-preview"], ["--refresh"], ["--skip-preview", "--refresh"]]
)
def test_a_failed_configure_ends_the_update(
    exact_project: PulumiProject, virtualenv: Path, tmp_path: Path, flags: list[str]
) -> None:
    exact_project.program('Thing("a")')
    exact_project.set_runtime(f"{{name: python, options: {{virtualenv: {virtualenv}}}}}")
    exact_project.up()
    (tmp_path / "refusing.py").write_text(REFUSING_PROVIDER)
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *" provider "*) exec {sys.executable} {tmp_path}/refusing.py;; esac\n'
        f'exec {virtualenv}/bin/python "$@"\n'
    )
    python.chmod(0o755)
    exact_project.set_runtime(f"{{name: python, options: {{virtualenv: {tmp_path}}}}}")
    ran = exact_project.run("up", "--yes", *flags)
    assert ran.code == 1
    assert "error: the config is not for me" in ran.text
    assert exact_project.resources()["a"].id in exact_project.cloud_ids
    assert "pending_operations" not in exact_project.deployment()
