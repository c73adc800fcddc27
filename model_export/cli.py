"""The command line: export a model, check or delete a published one."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from model_export import inspection, owners, precision, publish
from model_export.download import WeightsError
from model_export.export import ExportError, Stage, export
from model_export.families import family, fingerprint
from model_export.manifest import FileEntry, ManifestError
from model_export.parent import exit_with_parent
from model_export.precision import AUTO
from model_export.profiles import EXACT, PROFILES
from model_export.progress import reporter
from model_export.spec import (
    FAMILIES,
    PRECISIONS,
    SAMPLERS,
    WEIGHTS_LICENCE,
    ModelSpec,
    SpecError,
)
from model_export.staging import own_folder, remove_abandoned, staging_folder
from model_export.storage import (
    Storage,
    StorageError,
    UrlError,
    child_url,
    local_path,
    normalised_url,
    open_storage,
)

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

_EPILOG = """\
examples:
  python -m model_export export --to file:///srv/models
  python -m model_export export --sampler ddim --steps 30 --to file:///srv/models
  python -m model_export fingerprint --steps 30
  python -m model_export export --family sd14 --weights random --image-size 256 --to gs://b/models
  python -m model_export inspect file:///srv/models/0123456789abcdef
  python -m model_export verify --json gs://b/models/0123456789abcdef
  python -m model_export delete file:///srv/models/0123456789abcdef

exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted
"""


class CommandError(RuntimeError):
    """A command failed; the message is the line to show."""


class ExportInterruptedError(Exception):
    """An export was interrupted; the message says what it left behind."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. Errors are one line on stderr."""
    options = _parser().parse_args(arguments)
    # Service managers and engines stop a process with SIGTERM: treat it like an interrupt.
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        options.run(options)
    except SpecError as error:
        return _complain(f"{_flag(error.key)}: {error.reason}", USAGE)
    except UrlError as error:
        return _complain(str(error), USAGE)
    except (CommandError, ExportError, WeightsError, StorageError, ManifestError) as error:
        return _complain(str(error), FAILED)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _complain(f"{place}{error.strerror or error}", FAILED)
    except ExportInterruptedError as error:
        return _complain(f"interrupted: {error}", INTERRUPTED)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, previous)
    return DONE


def _export(options: argparse.Namespace) -> None:
    if options.exit_with_parent:
        exit_with_parent()
    began = time.monotonic()
    spec, base = _spec(options), normalised_url(options.to)
    name = fingerprint(spec)
    if options.expect_fingerprint not in (None, name):
        raise CommandError(
            f"the fingerprint is {name}, not {options.expect_fingerprint}: the spec or the weights "
            "have changed in the meantime; run again"
        )
    storage = open_storage(child_url(base, name))
    if not publish.problems(storage):
        print(f"{storage.url} is already published and complete")
        return
    storage.check_access()
    _quiet_tensorflow()
    parent = _staging_parent(storage.url)
    try:
        size_bytes = _export_and_publish(spec, storage, parent)
    except KeyboardInterrupt:
        raise ExportInterruptedError(_left_behind(storage, parent)) from None
    seconds = time.monotonic() - began
    print(f"exported {storage.url} ({size_bytes / 1e6:.1f} MB) in {seconds:.0f} s")
    if spec.random_seed is not None:
        print("ITS WEIGHTS ARE RANDOM: it draws noise, at the real model's speed")


def _export_and_publish(spec: ModelSpec, storage: Storage, staging_parent: Path) -> int:
    """Returns the model's size in bytes. Deletes a half-finished upload if interrupted."""
    with staging_folder(staging_parent) as folder, reporter(spec) as progress:
        _check_room(spec, folder, storage.url)
        manifest = export(spec, folder, progress=progress)
        progress(Stage.PUBLISH)
        sent_bytes = 0

        def sent(file: FileEntry) -> None:
            nonlocal sent_bytes
            sent_bytes += file.size_bytes
            progress(Stage.PUBLISH, sent_bytes / manifest.size_bytes)

        try:
            publish.publish(folder, manifest, storage, sent)
        except KeyboardInterrupt:
            if publish.is_unfinished(storage):
                publish.delete(storage)
            raise
    return manifest.size_bytes


def _left_behind(storage: Storage, staging_parent: Path) -> str:
    """What an interrupted export left behind, in one line."""
    staging = own_folder(staging_parent)
    left = [str(staging)] if staging.exists() else []
    try:
        if storage.sizes():
            left.append(storage.url)
    except StorageError as error:
        left.append(f"{storage.url} perhaps ({error})")
    return f"left behind: {', '.join(left)}; export it again" if left else "nothing was left behind"


def _fingerprint(options: argparse.Namespace) -> None:
    print(fingerprint(_spec(options)))


def _inspect(options: argparse.Namespace) -> None:
    storage = open_storage(_url(options.url))
    found = inspection.inspect(storage)
    print(found.to_json() if options.json else found.to_text())
    if found.problems:
        raise CommandError(_summary(storage.url, found.problems))


def _verify(options: argparse.Namespace) -> None:
    storage = open_storage(_url(options.url))
    found = inspection.inspect(storage, checksums=True)
    if options.json:
        print(found.to_json())
    if found.problems:
        raise CommandError(_summary(storage.url, found.problems))
    if not options.json:
        assert found.manifest is not None
        size = found.manifest.size_bytes
        print(f"{storage.url} is complete: {len(found.manifest.files)} files, {size} bytes")


def _summary(url: str, problems: Sequence[str]) -> str:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{url}: {problems[0]}{more}; export it again"


def _url(location: str) -> str:
    """A published model's URL; a plain path is a local one."""
    return location if "://" in location else Path(location).absolute().as_uri()


def _delete(options: argparse.Namespace) -> None:
    storage = open_storage(_url(options.url))
    users = owners.owners(storage)
    if users and not options.force:
        raise CommandError(
            f"{storage.url} is in use by {', '.join(users)}; destroy that first, or use --force"
        )
    if not (storage.read(publish.MANIFEST_NAME) or storage.read(publish.PARTIAL_MANIFEST_NAME)):
        raise CommandError(f"{storage.url} has no manifest; nothing was deleted")
    owners.remove_all(storage)
    print(f"deleted {storage.url} ({publish.delete(storage)} files)")


def _clean(options: argparse.Namespace) -> None:
    base = local_path(options.url)
    removed = [folder.name for folder in remove_abandoned(base)]
    for folder in sorted(base.glob(f"*/{publish.PARTIAL_MANIFEST_NAME}")):
        storage = open_storage(child_url(options.url, folder.parent.name))
        if publish.is_unfinished(storage):
            publish.delete(storage)
            removed.append(folder.parent.name)
    print(f"removed {', '.join(removed) or 'nothing'}")


def _check_room(spec: ModelSpec, staging: Path, url: str) -> None:
    """Fails early instead of filling the disk after minutes of work."""
    copies = 2 if url.startswith("file:") else 1  # the staged files, and the published ones
    needed_bytes = copies * family(spec.family).size_bytes(spec)
    free_bytes = shutil.disk_usage(staging).free
    if free_bytes < needed_bytes:
        raise CommandError(
            f"{staging.parent}: the export needs {needed_bytes / 1e9:.1f} GB of disk space while "
            f"it runs, and only {free_bytes / 1e9:.1f} GB are free"
        )


def _staging_parent(url: str) -> Path:
    """Next to a local destination, which needs the disk space anyway."""
    if url.startswith("file:"):
        return local_path(url).parent
    return Path(tempfile.gettempdir())


def _spec(options: argparse.Namespace) -> ModelSpec:
    values: dict[str, Any] = {}
    if options.spec is not None:
        try:
            values = dict(json.loads(options.spec))
        except (ValueError, TypeError) as error:
            raise SpecError("spec", f"is not a JSON object: {error}") from error
    names = [field.name for field in fields(ModelSpec)]
    values |= {
        name: getattr(options, name) for name in names if getattr(options, name, None) is not None
    }
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise SpecError("spec", f"has no key {unknown[0]!r}; it has {', '.join(names)}")
    if values.get("precision") == AUTO:
        values["precision"] = precision.of_this_machine(str(values.get("family", "demo")))
    if options.spec is None:
        spec = ModelSpec.for_family(values.pop("family", ModelSpec.family), **values)
    else:
        spec = ModelSpec.from_json(values)
    _warn_of_truncation(spec.negative_prompt)
    return spec


def _warn_of_truncation(negative_prompt: str) -> None:
    if not negative_prompt:
        return
    from model_export.token_count import truncation  # reads the vocabulary: 0.1 s

    reason = truncation(negative_prompt)
    if reason is not None:
        print(f"warning: --negative-prompt: {reason}; shorten it", file=sys.stderr)


def _quiet_tensorflow() -> None:
    """Its start-up messages would hide the progress lines. Call before the first import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _complain(message: str, code: int) -> int:
    print(f"model_export: {' '.join(message.split())}", file=sys.stderr)
    return code


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_export",
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
    _add_spec_options(exporting)
    exporting.add_argument(
        "--to", required=True, metavar="URL", help="file:///folder or gs://bucket/folder"
    )
    exporting.add_argument(
        "--expect-fingerprint", metavar="HEX", help="fail unless the model has this fingerprint"
    )
    exporting.add_argument(
        "--exit-with-parent", action="store_true", help="stop when standard input ends"
    )
    naming = command(
        "fingerprint", _fingerprint, "print a model's fingerprint, the name of its folder"
    )
    _add_spec_options(naming)
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
    cleaning.add_argument("url", metavar="URL", help="the folder for models: file:///folder")
    return parser


def _add_spec_options(parser: argparse.ArgumentParser) -> None:
    defaults = ModelSpec()
    group = parser.add_argument_group("model")
    group.add_argument(
        "--spec", metavar="JSON", help="all settings as one object; flags override it"
    )
    group.add_argument("--family", metavar="NAME", help=f"one of {', '.join(FAMILIES)}")
    group.add_argument(
        "--sampler",
        metavar="NAME",
        help=f"one of {', '.join(SAMPLERS)} [{defaults.sampler}]",
    )
    group.add_argument("--steps", type=int, help=f"default steps of a picture [{defaults.steps}]")
    group.add_argument("--max-steps", type=int, help=f"most steps allowed [{defaults.max_steps}]")
    group.add_argument("--guidance-scale", type=float, help="default guidance [the family's]")
    group.add_argument(
        "--negative-prompt", metavar="TEXT", help="default negative prompt [the family's]"
    )
    group.add_argument("--image-size", type=int, help="in pixels [the family's]")
    group.add_argument(
        "--precision",
        metavar="NAME",
        help=f"{', '.join(PRECISIONS)}, or {AUTO} for the faster one on this machine [float32]",
    )
    group.add_argument(
        "--profile",
        metavar="NAME",
        help=f"one of {', '.join(PROFILES)}; fast skips work that hardly shows [{EXACT}]",
    )
    group.add_argument(
        "--weights",
        metavar="WHICH",
        help="for sd14: official (downloaded), the absolute path of a folder with the official "
        "files, random, or random:SEED",
    )
    group.add_argument(
        "--accept-licence",
        metavar="NAME",
        help=f'"{WEIGHTS_LICENCE}" accepts the licence of the official weights',
    )
    group.add_argument(
        "--trace",
        action="store_true",
        default=None,
        help="make the server print every step's statistics",
    )
