"""The program: settings, the model, the service, and the stack's outputs."""

from __future__ import annotations

from pathlib import Path

import pulumi

from infra import settings
from infra.backend import refuse_new_cloud_state
from infra.outputs import curl_command, limits
from infra.sdk_imports import import_on_demand
from infra.startup import without_garbage_collection
from model_export.resource import ModelExport
from model_export.spec import MODEL_NAME

STATE_FOLDER = Path(__file__).resolve().parent / ".state"

configured = settings.load()

if configured.gke is None:
    from infra.local import LocalModelServer, LocalModelServerArgs, require_free_ports

    require_free_ports(
        configured.local.rest_port, configured.local.grpc_port, STATE_FOLDER / "server"
    )

    model = ModelExport(
        "model", spec=configured.model, destination=(STATE_FOLDER / "models").as_uri()
    )
    server = LocalModelServer(
        "server",
        LocalModelServerArgs(
            model_uri=model.uri,
            rest_port=configured.local.rest_port,
            grpc_port=configured.local.grpc_port,
            queue=configured.server.queue,
            request_timeout_seconds=configured.server.request_timeout_seconds,
            state_folder=str(STATE_FOLDER / "server"),
        ),
    )
    pulumi.export("endpoint", server.endpoint)
    pulumi.export("grpcEndpoint", server.grpcEndpoint)
else:
    refuse_new_cloud_state(STATE_FOLDER)
    # The cloud SDKs are imported here only: the stack `local` runs without them.
    with without_garbage_collection():
        import_on_demand()
        from infra.platform import Platform, PlatformArgs
        from serving.service import Service, ServiceArgs

        platform = Platform("diffusion", PlatformArgs(settings=configured.gke))
        model = ModelExport("model", spec=configured.model, destination=platform.bucket.models_url)
        service = Service(
            "diffusion",
            ServiceArgs(
                settings=configured.gke,
                server=configured.server,
                bucket=platform.bucket.name,
                model_uri=model.uri,
                model_bytes=model.sizeBytes,
                after=[platform.reader],
            ),
            pulumi.ResourceOptions(providers=[platform.kubernetes]),
        )
    pulumi.export("endpoint", service.endpoint)
    pulumi.export("grpcEndpoint", service.grpc_endpoint)
    pulumi.export("bucket", platform.bucket.name)
    pulumi.export("kubeconfigCommand", platform.cluster.kubeconfig_command)
    pulumi.export("curl", service.endpoint.apply(curl_command))

pulumi.export("modelName", MODEL_NAME)
pulumi.export("modelUri", model.uri)
pulumi.export("fingerprint", model.fingerprint)
pulumi.export("limits", limits(configured))
