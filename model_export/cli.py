"""The command line: export a model, check or delete a published one."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from console.invocation import started_as
from model_export import inspection, owners, publish
from model_export.download import WeightsError
from model_export.export import ExportError
from model_export.export_once import ExportInterruptedError, export_once
from model_export.families import fingerprint
from model_export.locks import BusyError, LockLostError, locked, remove_free_locks
from model_export.manifest import ManifestError
from model_export.parent import exit_with_parent
from model_export.spec import SpecError
from model_export.spec_options import add_spec_options, flag, spec_from
from model_export.staging import remove_abandoned
from model_export.storage import (
    StorageError,
    UrlError,
    child_url,
    local_path,
    normalised_url,
    open_storage,
)
from model_export.whereabouts import why_no_model

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

_EPILOG = """\
examples:
  %(prog)s export --to file:///srv/models
  %(prog)s export --sampler ddim --steps 30 --to file:///srv/models
  %(prog)s fingerprint --steps 30
  %(prog)s export --family sd14 --weights random --image-size 256 --to gs://b/models
  %(prog)s inspect file:///srv/models/0123456789abcdef
  %(prog)s verify --json gs://b/models/0123456789abcdef
  %(prog)s delete file:///srv/models/0123456789abcdef

exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted
"""


class CommandError(RuntimeError):
    """A command failed; the message is the line to show."""


_FAILURES = (
    CommandError,
    ExportError,
    LockLostError,
    ManifestError,
    StorageError,
    WeightsError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. Errors are one line on stderr."""
    options = _parser().parse_args(arguments)
    # Service managers and engines stop a process with SIGTERM: treat it like an interrupt.
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in previous.items():
        if number == signal.SIGTERM or handler is signal.default_int_handler:
            signal.signal(number, _interrupt)
    try:
        options.run(options)
    except SpecError as error:
        return _complain(f"{flag(error.key)}: {error.reason}", USAGE)
    except UrlError as error:
        return _complain(str(error), USAGE)
    except _FAILURES as error:
        return _complain(str(error), FAILED)
    except BrokenPipeError:  # nobody reads the output
        raise
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _complain(f"{place}{error.strerror or error}", FAILED)
    except ExportInterruptedError as error:
        return _complain(f"interrupted: {error}", INTERRUPTED)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return DONE


def _export(options: argparse.Namespace) -> None:
    if options.exit_with_parent:
        exit_with_parent()
    began = time.monotonic()
    spec, base = spec_from(options), normalised_url(options.to)
    name = fingerprint(spec)
    if options.expect_fingerprint not in (None, name):
        raise CommandError(
            f"the fingerprint is {name}, not {options.expect_fingerprint}: the spec or the weights "
            "have changed in the meantime; run again"
        )
    storage = open_storage(child_url(base, name))
    try:
        export_once(spec, storage, began)
    except BaseException:
        if options.claim is not None:
            owners.withdraw(storage, options.claim)
        raise


def _fingerprint(options: argparse.Namespace) -> None:
    print(fingerprint(spec_from(options)))


def _inspect(options: argparse.Namespace) -> None:
    found = inspection.inspect(open_storage(_url(options.url)))
    if options.json or found.is_model:
        print(found.to_json() if options.json else found.to_text())
    _require_complete(found)


def _verify(options: argparse.Namespace) -> None:
    found = inspection.inspect(open_storage(_url(options.url)), checksums=True)
    if options.json:
        print(found.to_json())
    _require_complete(found)
    if not options.json:
        assert found.manifest is not None
        size = found.manifest.size_bytes
        print(f"{found.url} is complete: {len(found.manifest.files)} files, {size} bytes")


def _require_complete(found: inspection.Inspection) -> None:
    problems = found.problems
    if not found.is_model:
        raise CommandError(f"{found.url} {problems[0]}")
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CommandError(f"{found.url}: {problems[0]}{more}; export it again")


def _url(location: str) -> str:
    """A folder's URL; a plain path is a local one."""
    if "://" in location:
        return location
    return f"file://{quote(os.fsencode(Path(location).absolute()))}"


def _delete(options: argparse.Namespace) -> None:
    storage = open_storage(_url(options.url))
    reason = why_no_model(storage)
    if reason is not None and not (options.force and owners.owners(storage)):
        raise CommandError(f"{storage.url} {reason}; nothing was deleted")
    with locked(storage):
        users = owners.owners(storage)
        if users and not options.force:
            raise CommandError(
                f"{storage.url} is in use by {', '.join(users)}; destroy that first, or use --force"
            )
        owners.remove_all(storage)
        print(f"deleted {storage.url} ({publish.delete(storage)} files)")


def _clean(options: argparse.Namespace) -> None:
    base = local_path(_url(options.url))
    removed = [folder.name for folder in remove_abandoned(base)]
    for partial in sorted(base.glob(f"*/{publish.PARTIAL_MANIFEST_NAME}")):
        name = partial.parent.name
        storage = open_storage(child_url(base.as_uri(), name))
        try:
            lock = storage.try_lock()
        except BusyError as busy:
            print(f"{name}: left to {busy.holder}, which is working on it")
            continue
        with contextlib.closing(lock):
            if publish.is_unfinished(storage):
                publish.delete(storage)
                removed.append(name)
    remove_free_locks(base)
    print(f"removed {', '.join(removed) or 'nothing'}")


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    # After Ctrl-C an engine often sends a SIGTERM too: it must not interrupt the cleaning up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _complain(message: str, code: int) -> int:
    print(f"model_export: {' '.join(message.split())}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=started_as("model_export"),
        description="Export a text-to-image model as one SavedModel: prompt in, PNG out.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], text: str) -> Any:
        added = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(run=run)
        return added

    exporting = command(
        "export", _export, "export a model and publish it, named by its fingerprint"
    )
    add_spec_options(exporting)
    exporting.add_argument(
        "--to", required=True, metavar="URL", help="file:///folder or gs://bucket/folder"
    )
    exporting.add_argument(
        "--expect-fingerprint", metavar="HEX", help="fail unless the model has this fingerprint"
    )
    exporting.add_argument(
        "--exit-with-parent", action="store_true", help="stop when standard input ends"
    )
    exporting.add_argument(
        "--claim", metavar="TOKEN", help="an owner's claim, to withdraw if the export fails"
    )
    naming = command(
        "fingerprint", _fingerprint, "print a model's fingerprint, the name of its folder"
    )
    add_spec_options(naming)
    inspecting = command(
        "inspect", _inspect, "show a published model's manifest, and whether it is complete"
    )
    verifying = command("verify", _verify, "check a published model against all its checksums")
    for reading in (inspecting, verifying):
        reading.add_argument("--json", action="store_true", help="print it as JSON")
    deleting = command("delete", _delete, "delete a published model")
    deleting.add_argument("--force", action="store_true", help="even if a stack still uses it")
    for published in (inspecting, verifying, deleting):
        published.add_argument(
            "url", metavar="PATH|URL", help="/folder/FINGERPRINT or gs://bucket/folder/FINGERPRINT"
        )
    cleaning = command("clean", _clean, "remove what interrupted exports left in a folder")
    cleaning.add_argument("url", metavar="PATH|URL", help="the folder for models: file:///folder")
    return parser
