"""The program: settings, the model, where it is served, and what the stack tells about it."""

from __future__ import annotations

from pathlib import Path

import pulumi

from infra import settings
from infra.outputs import limits
from infra.values import SettingsError
from model_export.resource import ModelExport
from model_export.spec import MODEL_NAME

STATE_FOLDER = Path(__file__).resolve().parent / ".state"

configured = settings.load()

if configured.target == "local":
    from infra.local import LocalModelServer, LocalModelServerArgs

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
    raise SettingsError(
        "target", "gke is not part of this version yet; the stack local is", "local"
    )

pulumi.export("modelName", MODEL_NAME)
pulumi.export("modelUri", model.uri)
pulumi.export("fingerprint", model.fingerprint)
pulumi.export("limits", limits(configured))
