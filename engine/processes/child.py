"""Entry point of the engine's two child processes: the program and the dynamic provider.

The project's own interpreter runs it as a script, so it imports only the standard library and
Pulumi's SDK. Both processes hold a lifeline: a pipe whose other end only the engine has. When it
closes, the engine has exited, and the child kills its own process group. So nothing outlives a
killed engine, except what a provider started in its own session.
"""

import os
import runpy
import signal
import sys
import threading
from pathlib import Path


def hold_lifeline(descriptor: int) -> None:
    """Kill this process group as soon as the engine's end of the pipe closes."""
    os.set_inheritable(descriptor, False)

    def wait() -> None:
        while os.read(descriptor, 1):
            pass
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="lifeline").start()


def serve_dynamic_provider() -> None:
    """Do what the official plugin `pulumi-resource-pulumi-python` does."""
    sys.argv = ["pulumi.dynamic", "127.0.0.1:0"]
    runpy.run_module("pulumi.dynamic", run_name="__main__", alter_sys=True)


def run_program(program: str) -> int:
    """Do what the official language host does; exit code 32: the error has been shown.

    The settings come on stdin, once the engine wants the program to run.
    """
    import asyncio
    import json
    import logging
    import traceback
    from concurrent.futures import ThreadPoolExecutor

    import pulumi
    import pulumi.runtime as runtime

    settings = runtime.Settings(**json.loads(sys.stdin.readline()))
    runtime.set_all_config(runtime.get_config_env(), runtime.get_config_secret_keys_env())
    runtime.configure(settings)
    sys.argv = [program]
    # asyncio would warn about every task that a failed program never awaited.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    # Each registration blocks a thread.
    executor = ThreadPoolExecutor(max_workers=16)
    loop.set_default_executor(executor)

    def body() -> None:
        runpy.run_path(program, run_name="__main__")

    def user_traceback(error: BaseException) -> str:
        main = Path(program) if program.endswith(".py") else Path(program) / "__main__.py"
        frames = traceback.extract_tb(error.__traceback__)
        for index, frame in enumerate(frames):
            if Path(frame.filename).absolute() == main.absolute():
                return traceback.format_exc(limit=index - len(frames))
        return traceback.format_exc()

    try:
        loop.run_until_complete(runtime.run_in_stack(body))
        return 0
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    except Exception as error:
        pulumi.log.error(f"Program failed with an unhandled exception:\n{user_traceback(error)}")
        return 32
    finally:
        executor.shutdown(wait=True)
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()


def main() -> int:
    role, lifeline, *arguments = sys.argv[1:]
    hold_lifeline(int(lifeline))
    # This script's folder must not shadow the project's modules.
    if role == "provider":
        sys.path[0] = str(Path.cwd())
        serve_dynamic_provider()
        return 0
    del sys.path[0]
    return run_program(*arguments)


if __name__ == "__main__":
    sys.exit(main())
