"""The command line: TF Serving's flag names in its `--name=value` syntax, and three of our own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from console.invocation import started_as


class FlagError(Exception):
    """A flag's value is invalid; the message is one line for the user."""


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Flags:
    """Every flag that this server acts on. A field's name is the flag's name."""

    host: str = _flag("127.0.0.1", "address to listen on (not a flag of TF Serving)")
    log_file: str = _flag("", "file for the log, else stderr (not a flag of TF Serving)")
    stop_unless_kept: bool = _flag(
        False,
        "stop if standard input closes before the line `keep` arrives (not a flag of TF Serving)",
    )
    port: int = _flag(8500, "gRPC port; 0 means none, and needs --grpc_socket_path")
    grpc_socket_path: str = _flag("", "UNIX socket for gRPC, in addition to the port")
    rest_api_port: int = _flag(0, "REST port; 0 means none")
    rest_api_num_threads: int = _flag(0, "REST requests handled at once; 0 means no limit")
    rest_api_timeout_in_ms: int = _flag(30000, "time limit of a REST predict, including the queue")
    rest_api_enable_cors_support: bool = _flag(False, "answer with CORS headers")
    grpc_max_threads: int = _flag(64, "gRPC requests handled at once")
    grpc_channel_arguments: str = _flag("", "gRPC server options, as key=value,key=value")
    enable_grpc_healthcheck_service: bool = _flag(False, "serve grpc.health.v1.Health")
    enable_batching: bool = _flag(False, "read the queue's bounds from --batching_parameters_file")
    batching_parameters_file: str = _flag("", "BatchingParameters in protobuf's text format")
    model_name: str = _flag("default", "name of the model in requests")
    model_base_path: str = _flag("", "folder whose numbered folders are versions of the model")
    saved_model_tags: str = _flag("serve", "tags of the graph to load, comma separated")
    file_system_poll_wait_seconds: int = _flag(
        1, "seconds between checks for the first version; 0 means check once"
    )
    enable_model_warmup: bool = _flag(True, "run assets.extra/tf_serving_warmup_requests")
    num_request_iterations_for_warmup: int = _flag(0, "passes over the warm-up file; 0 means one")
    monitoring_config_file: str = _flag("", "MonitoringConfig in protobuf's text format")
    tensorflow_session_parallelism: int = _flag(0, "sets both of the next two; 0 means automatic")
    tensorflow_intra_op_parallelism: int = _flag(0, "threads within one operation")
    tensorflow_inter_op_parallelism: int = _flag(0, "operations at once")
    tensorflow_session_config_file: str = _flag("", "ConfigProto in protobuf's text format")
    enable_serialization_as_tensor_content: bool = _flag(
        False, "gRPC outputs as tensor_content instead of typed fields"
    )
    version: bool = _flag(False, "print the version and exit")
    help: bool = _flag(False, "print this text and exit")


_ANY = object()

_WITHOUT_EFFECT: dict[str, tuple[type, Any]] = {
    # TF Serving's flags that do nothing here: their type, and the value (or _ANY) with which TF
    # Serving behaves as this server does, so that no warning is needed.
    "allow_version_labels_for_unavailable_models": (bool, False),
    "enable_per_model_batching_parameters": (bool, False),
    "enable_profiler": (bool, False),
    "enable_signature_method_name_check": (bool, False),
    "flush_filesystem_caches": (bool, _ANY),
    "load_retry_interval_micros": (int, _ANY),
    "max_num_load_retries": (int, 0),
    "mixed_precision": (str, ""),
    "model_config_file": (str, ""),
    "model_config_file_poll_wait_seconds": (int, 0),
    "num_load_threads": (int, _ANY),
    "num_unload_threads": (int, _ANY),
    "per_process_gpu_memory_fraction": (float, 0.0),
    "platform_config_file": (str, ""),
    "prefer_tflite_model": (bool, False),
    "remove_unused_fields_from_bundle_metagraph": (bool, _ANY),
    "ssl_config_file": (str, ""),
    "thread_pool_factory_config_file": (str, ""),
    "use_alts_credentials": (bool, False),
    "xla_cpu_compilation_enabled": (bool, False),
    "xla_gpu_compilation_enabled": (bool, False),
}

_BOOLEANS = {"true": True, "false": False}
_PARSERS: dict[type, Callable[[str], Any]] = {
    bool: lambda text: _BOOLEANS[text],
    int: int,
    float: float,
    str: str,
}
_KINDS: dict[str, type] = {
    **{f.name: type(f.default) for f in fields(Flags)},
    **{name: kind for name, (kind, _) in _WITHOUT_EFFECT.items()},
}


def parse(arguments: Sequence[str]) -> tuple[Flags, list[str]]:
    """The flags, and warnings for the user.

    As in TF Serving, an unknown flag is ignored with a warning, a boolean flag needs no value, and
    the last of repeated flags wins.

    Raises:
        FlagError: a value has the wrong type, or flags contradict each other.
    """
    values: dict[str, Any] = {}
    warnings: list[str] = []
    for argument in arguments:
        name, has_value, text = argument.removeprefix("--").partition("=")
        kind = _KINDS.get(name)
        if not argument.startswith("--") or kind is None or (not has_value and kind is not bool):
            warnings.append(f"unknown argument: {argument}")
            continue
        value = _parse_value(name, kind, text) if has_value else True
        if name not in _WITHOUT_EFFECT:
            values[name] = value
        elif _WITHOUT_EFFECT[name][1] is not _ANY and value != _WITHOUT_EFFECT[name][1]:
            warnings.append(f"--{name}={text or 'true'} has no effect in this development server")
    flags = Flags(**values)
    _check(flags)
    return flags, warnings


def _parse_value(name: str, kind: type, text: str) -> Any:
    try:
        return _PARSERS[kind](text)
    except (KeyError, ValueError):
        expected = "true or false" if kind is bool else kind.__name__
        raise FlagError(f"--{name}: expected {expected}, not {text!r}") from None


def _check(flags: Flags) -> None:
    for name in ("port", "rest_api_port"):
        if not 0 <= getattr(flags, name) <= 65535:
            raise FlagError(f"--{name}: expected a port from 0 to 65535")
    if flags.help or flags.version:
        return
    if flags.port == 0 and not flags.grpc_socket_path:
        raise FlagError("--port: must not be 0 unless --grpc_socket_path is given")
    if flags.port == flags.rest_api_port:
        raise FlagError("--rest_api_port: must differ from --port")
    if not flags.model_base_path:
        raise FlagError("--model_base_path: missing; give the folder that contains the versions")
    if flags.batching_parameters_file and not flags.enable_batching:
        raise FlagError("--batching_parameters_file: needs --enable_batching")
    if flags.file_system_poll_wait_seconds < 0:
        raise FlagError(
            "--file_system_poll_wait_seconds: must not be negative, or nothing is loaded"
        )
    parallelism = (
        flags.tensorflow_session_parallelism,
        flags.tensorflow_intra_op_parallelism,
        flags.tensorflow_inter_op_parallelism,
    )
    if all(parallelism):
        raise FlagError(
            "--tensorflow_session_parallelism: give either this or the intra and inter op flags"
        )


def usage() -> str:
    """One line per flag that has an effect."""
    lines = [f"usage: {started_as('devserver')} --model_base_path=FOLDER [--flag=value ...]"]
    for f in fields(Flags):
        shown = str(f.default).lower() if isinstance(f.default, bool) else repr(f.default)
        lines.append(f"  --{f.name}={shown}\n      {f.metadata['help']}")
    lines.append("TF Serving's other flags are accepted and have no effect here:")
    lines.append("  " + " ".join(f"--{name}" for name in _WITHOUT_EFFECT))
    return "\n".join(lines)
