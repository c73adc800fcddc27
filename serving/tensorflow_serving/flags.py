"""TensorFlow Serving's flags."""

from __future__ import annotations

from serving.names import GRPC_PORT, REST_PORT

CONFIG_FOLDER = "/etc/model-server"
BATCHING_FILE = "batching.config"
MONITORING_FILE = "monitoring.config"

QUEUES = 7
"""Each signature of the model has a queue of its own."""
SPARE_THREADS = 32
"""Beyond those held by full queues: for probes, metrics, the event loop and 503 responses."""


def server_arguments(*, cpus: int, queue: int, request_timeout: int) -> list[str]:
    """The server's command line; Kubernetes expands $(NAME) from the environment.

    The server sees the node's CPUs, not the pod's, so every thread count is set explicitly.
    """
    threads = server_threads(queue)
    flags = {
        "port": GRPC_PORT,
        "rest_api_port": REST_PORT,
        "model_name": "$(MODEL_NAME)",
        "model_base_path": "$(MODEL_PATH)",
        "rest_api_timeout_in_ms": request_timeout * 1000,
        "rest_api_num_threads": threads,
        "grpc_max_threads": threads,
        "tensorflow_intra_op_parallelism": cpus,
        "tensorflow_inter_op_parallelism": 2,
        "enable_batching": "true",
        "batching_parameters_file": f"{CONFIG_FOLDER}/{BATCHING_FILE}",
        "monitoring_config_file": f"{CONFIG_FOLDER}/{MONITORING_FILE}",
        # Models are immutable: polling finds nothing new, and retrying a failed load fails again.
        # The pod exits, and its log says why.
        "file_system_poll_wait_seconds": 0,
        "max_num_load_retries": 0,
        "enable_grpc_healthcheck_service": "true",
        # On by default, and open to anyone who can reach the gRPC port.
        "enable_profiler": "false",
    }
    return [f"--{name}={value}" for name, value in flags.items()]


def server_threads(queue: int) -> int:
    """Threads of the REST and of the gRPC server: each waiting request holds one."""
    return QUEUES * queue + 1 + SPARE_THREADS
