"""A stand-in for the plugin `pulumi-resource-gcp`, on top of the stand-in for Google Cloud.

The engine starts it from PATH and speaks Pulumi's ResourceProvider protocol with it, as with the
real one. `python -m tests.gke.gcp_plugin FOLDER` prints its port and serves until it is killed.
"""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import requests
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN

from tests.gke.gcp_diff import changes, replaces
from tests.gke.gcp_types import COMPUTED, KINDS, NAME_PROPERTY, UNNAMED
from tests.gke.google_cloud import GoogleCloud
from tests.gke.google_kinds import PROJECT_NUMBER, Properties, RefusedError, api_of, not_enabled
from tests.gke.plugin_answers import abort, abort_initialising, as_dict, as_struct

SECONDS = {"Cluster": 1.0, "NodePool": 0.5}
"""How long it takes to create or delete one."""
API_SERVER_FILE = "api-server"
"""Where the lab writes host:port of the Kubernetes API server."""
OBJECTS_FILE = "objects"
"""Where the lab writes the URL of the stand-in for Cloud Storage."""


class Plugin(provider_pb2_grpc.ResourceProviderServicer):
    def __init__(self, folder: Path) -> None:
        self._google = GoogleCloud(folder)
        self._folder = folder
        self._project = ""
        self._cancelled = threading.Event()

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="10.2.0")

    def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(schema='{"name": "gcp", "version": "10.2.0"}')

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:
        self._project = request.variables.get("gcp:config:project", "")
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Cancel(self, request: Any, context: Any) -> Any:
        self._cancelled.set()
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        args = as_dict(request.args)
        found: Properties = {}
        if request.tok == "gcp:organizations/getProject:getProject":
            found = {"number": PROJECT_NUMBER, "projectId": self._project, "id": self._project}
        elif request.tok == "gcp:compute/getAddress:getAddress":
            place = f"projects/{self._project}/regions/{args['region']}"
            found = self._google.read(f"{place}/addresses/{args['name']}") or {}
        if not found:
            abort(context, f"the stand-in has no {request.tok} for {args}")
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").update(found)
        return response

    def Check(self, request: Any, context: Any) -> Any:
        kind = self._kind(request.urn, context)
        olds, news = as_dict(request.olds), as_dict(request.news)
        key = NAME_PROPERTY.get(kind, "name")
        if kind not in UNNAMED and key not in news:
            made = f"{request.name}-{request.randomSeed.hex()[:7]}"
            news |= {key: olds.get(key) or made, "__autonamed": True}
        return provider_pb2.CheckResponse(inputs=as_struct(news))

    def Diff(self, request: Any, context: Any) -> Any:
        kind = self._kind(request.urn, context)
        old, new = as_dict(request.old_inputs), as_dict(request.news)
        paths = list(changes(old, new))
        replacing = [path for path in paths if replaces(kind, path)]
        kinds = provider_pb2.PropertyDiff
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME
            if paths
            else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=sorted({path.partition(".")[0].partition("[")[0] for path in paths}),
            replaces=replacing,
            # A fixed name cannot exist twice.
            deleteBeforeReplace=bool(replacing) and "__autonamed" not in new and "name" in new,
            hasDetailedDiff=True,
            detailedDiff={
                path: kinds(
                    kind=kinds.UPDATE_REPLACE if path in replacing else kinds.UPDATE, inputDiff=True
                )
                for path in paths
            },
        )

    def Create(self, request: Any, context: Any) -> Any:
        kind, props = self._kind(request.urn, context), as_dict(request.properties)
        if request.preview:
            unknown = dict.fromkeys(COMPUTED.get(kind, ()), UNKNOWN)
            outputs = {**props, **unknown, **self._endpoint(kind, props, UNKNOWN)}
            return provider_pb2.CreateResponse(properties=as_struct(outputs))
        project = str(props.get("project") or self._project)
        name = props.get(NAME_PROPERTY.get(kind, "name"), props.get("service", ""))
        how = self._begin("create", kind, str(name), context)
        try:
            id_, computed = self._google.create(kind, project, props)
        except RefusedError as refusal:
            abort(context, f"error creating {kind}: {refusal}")
        endpoint = (self._folder / API_SERVER_FILE).read_text() if kind == "Cluster" else ""
        outputs = {**props, **computed, **self._endpoint(kind, props, endpoint)}
        if how == "hang after":
            self._hang()
            abort_initialising(context, id_, outputs, props)
        self._google.note(f"created {kind} {name}")
        return provider_pb2.CreateResponse(id=id_, properties=as_struct(outputs))

    def Read(self, request: Any, context: Any) -> Any:
        own = self._google.read(request.id)
        if own is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=request.id, properties=request.properties, inputs=request.inputs
        )

    def Update(self, request: Any, context: Any) -> Any:
        kind = self._kind(request.urn, context)
        old, new = as_dict(request.olds), as_dict(request.news)
        outputs = {**{key: old[key] for key in COMPUTED.get(kind, ()) if key in old}, **new}
        if kind == "Cluster":
            dns = old["controlPlaneEndpointsConfig"]["dnsEndpointConfig"]
            outputs |= self._endpoint(kind, new, dns["endpoint"])
        if not request.preview:
            self._begin("update", kind, request.id, context)
            try:
                self._google.update(request.id, new)
            except RefusedError as refusal:
                abort(context, f"error updating {kind}: {refusal}")
        return provider_pb2.UpdateResponse(properties=as_struct(outputs))

    def Delete(self, request: Any, context: Any) -> Any:
        kind, props = self._kind(request.urn, context), as_dict(request.properties)
        if kind == "Cluster" and props.get("deletionProtection"):
            abort(
                context,
                "Cannot destroy cluster because deletion_protection is set to true. Set it"
                " to false to proceed with cluster deletion.",
            )
        how = self._begin("delete", kind, request.id, context)
        try:
            self._google.delete(request.id, self._is_empty)
        except RefusedError as refusal:
            abort(context, f"error deleting {kind}: {refusal}")
        if how == "hang after":
            self._hang()
            abort(context, f"error deleting {kind}: the wait for it was cancelled")
        self._google.note(f"deleted {kind} {request.id}")
        return empty_pb2.Empty()

    def _kind(self, urn: str, context: Any) -> str:
        token = urn.split("::")[2].rpartition("$")[2]
        if token not in KINDS:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the stand-in has no {token}")
        return KINDS[token]

    def _endpoint(self, kind: str, props: Properties, endpoint: str) -> Properties:
        if kind != "Cluster":
            return {}
        config = props["controlPlaneEndpointsConfig"]
        dns = {**config["dnsEndpointConfig"], "endpoint": endpoint}
        return {"controlPlaneEndpointsConfig": {**config, "dnsEndpointConfig": dns}}

    def _begin(self, verb: str, kind: str, name: str, context: Any) -> str | None:
        """Takes the request's time; answers as ordered."""
        self._google.note(f"{verb} {kind} {name}")
        time.sleep(SECONDS.get(kind, 0.0) if verb != "update" else 0.0)
        how = self._google.fault(verb, kind)
        if how == "forbidden":
            abort(context, str(RefusedError(403, "forbidden", f"no permission to {verb} {name}")))
        if how == "not enabled":
            abort(context, str(not_enabled(api_of(kind))))
        if how == "in use":
            message = f"The resource '{name}' is already being used by 'another'"
            abort(context, str(RefusedError(400, "resourceInUseByAnotherResource", message)))
        if how == "hang":
            self._hang()
            abort(context, f"error: the {verb} of {name} was cancelled")
        return how

    def _hang(self) -> None:
        self._google.note("hanging")
        self._cancelled.wait()

    def _is_empty(self, bucket: str) -> bool:
        service = (self._folder / OBJECTS_FILE).read_text()
        answer = requests.get(f"{service}/storage/v1/b/{bucket}/o", timeout=10)
        return not answer.json().get("items")


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(max_workers=64))
    plugin = Plugin(Path(sys.argv[1]))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(plugin, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
