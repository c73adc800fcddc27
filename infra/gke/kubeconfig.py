"""The kubeconfig: the cluster's DNS endpoint, with the caller's own Google credentials.

It has no credentials, and no certificate authority, since the endpoint's certificate is public.
"""

from __future__ import annotations

import json


def kubeconfig(name: str, dns_endpoint: str) -> str:
    """A kubeconfig that gets its tokens from gke-gcloud-auth-plugin."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": f"https://{dns_endpoint}"}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "users": [{"name": name, "user": {"exec": _CREDENTIAL_PLUGIN}}],
        }
    )


def kubeconfig_command(name: str, location: str, project: str) -> str:
    """The command that points kubectl at the cluster."""
    return (
        f"gcloud container clusters get-credentials {name} --location {location} "
        f"--project {project} --dns-endpoint"
    )


_CREDENTIAL_PLUGIN = {
    "apiVersion": "client.authentication.k8s.io/v1beta1",
    "command": "gke-gcloud-auth-plugin",
    "args": ["--use_application_default_credentials"],
    "interactiveMode": "Never",
    "provideClusterInfo": True,
}
