"""The program: settings, the model, the service, and the stack's outputs."""

from __future__ import annotations

from pathlib import Path

import pulumi

from infra import outputs
from infra.backend import refuse_new_cloud_state
from infra.gke.credentials import require_credentials
from infra.gke.interruption import end_quietly_when_interrupted
from infra.gke.sdk_imports import cloud_sdks
from infra.settings import stack as settings
from model_export.resource import ModelExport
from model_export.spec import MODEL_NAME

STATE_FOLDER = Path(__file__).resolve().parent / ".state"

configured = settings.load()

if configured.gke is None:
    from infra.local.model_server import LocalModelServer, LocalModelServerArgs
    from infra.local.required_ports import require_free_ports
    from infra.local.web_service import LocalWebService, LocalWebServiceArgs

    server_folder, web_folder = STATE_FOLDER / "server", STATE_FOLDER / "web"
    require_free_ports(configured.local, server_folder, web_folder)
    model = ModelExport(
        "model", spec=configured.model, destination=(STATE_FOLDER / "models").as_uri()
    )
    server = LocalModelServer(
        "server",
        LocalModelServerArgs(
            model_uri=model.uri,
            ports=configured.local,
            server=configured.server,
            state_folder=str(server_folder),
        ),
    )
    web = LocalWebService(
        "web",
        LocalWebServiceArgs(
            ports=configured.local, server=configured.server, state_folder=str(web_folder)
        ),
        pulumi.ResourceOptions(depends_on=[server]),
    )
    outputs.export(
        page=web.endpoint,
        endpoint=web.endpoint,
        modelEndpoint=server.endpoint,
        grpcEndpoint=server.grpcEndpoint,
    )
else:
    end_quietly_when_interrupted()
    refuse_new_cloud_state(STATE_FOLDER)
    require_credentials(configured.gke.project)
    with cloud_sdks():
        from infra.gke.monitoring import Monitoring, MonitoringArgs
        from infra.gke.platform import Platform, PlatformArgs
        from infra.gke.web_image import web_image
        from serving.access.gateway import Frontend
        from serving.containers.server_config import ModelSource
        from serving.timing import replace_seconds

        platform = Platform(
            "diffusion",
            PlatformArgs(
                settings=configured.gke,
                replace_seconds=replace_seconds(configured.server.request_timeout_seconds),
            ),
        )
        model = ModelExport("model", spec=configured.model, destination=platform.bucket.models_url)
        public = platform.frontend
        frontend = public and Frontend(
            domain=configured.gke.access.domain,
            address=public.address,
            certificate=public.certificate,
            ssl_policy=public.ssl_policy,
            security_policy=public.security_policy,
            resources=[public],
        )
        Monitoring(
            "diffusion",
            MonitoringArgs(
                settings=configured.gke,
                server=configured.server,
                wake_seconds=configured.time_budget.wake if configured.time_budget else 0,
                cluster=platform.cluster.name,
            ),
            pulumi.ResourceOptions(parent=platform),
        )
        source = ModelSource(
            uri=model.uri,
            size_bytes=model.sizeBytes,
            access=configured.gke.model_access,
            bucket=platform.bucket.name,
        )
        on_cluster = pulumi.ResourceOptions(providers=[platform.kubernetes])
        if configured.gke.knative is None:
            from serving.model_service import ModelService, ModelServiceArgs

            service = ModelService(
                "diffusion",
                ModelServiceArgs(
                    settings=configured.gke,
                    server=configured.server,
                    model=source,
                    web_image=web_image(configured.gke, platform),
                    cluster=platform.cluster.resource,
                    kubeconfig=platform.cluster.kubeconfig,
                    address=platform.address,
                    frontend=frontend,
                    after=[platform.reader],
                ),
                on_cluster,
            )
            outputs.export(
                modelEndpoint=service.model_endpoint,
                grpcEndpoint=service.grpc_endpoint,
                curl=service.model_endpoint and service.model_endpoint.apply(outputs.curl_command),
            )
        else:
            from serving.knative.program import knative_service

            service = knative_service(configured, platform, model, source, frontend, on_cluster)
            outputs.export(workerEndpoint=service.worker_endpoint, revision=service.revision)
    outputs.export(
        page=service.endpoint,
        endpoint=service.endpoint,
        address=public and public.ip,
        bucket=platform.bucket.name,
        kubeconfigCommand=outputs.once(service.web_service, platform.cluster.kubeconfig_command),
    )

outputs.export(
    modelName=MODEL_NAME,
    modelUri=model.uri,
    fingerprint=model.fingerprint,
    limits=outputs.limits(configured),
)
