"""What Google refuses for a moment only is tried again; everything else fails at once."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest

from infra.gke import patience
from infra.gke.patience import PATIENCE_SECONDS, PAUSE_SECONDS, awaited
from tests.official_cli import cli_environment, write_program

ROOT = Path(__file__).resolve().parents[3]


def never_used(title: str, api: str, project: str = "163272504585") -> str:
    """As Google words it, in all APIs."""
    return (
        f"googleapi: Error 403: {title} has not been used in project {project} before or it is "
        f"disabled. Enable it by visiting https://console.developers.google.com/apis/api/{api}/"
        f"overview?project={project} then retry. If you enabled this API recently, wait a few "
        "minutes for the action to propagate to our systems and retry."
    )


PASSING = {
    "1 error occurred:\n\t* Error creating Network: "
    + never_used("Compute Engine API", "compute.googleapis.com"): "the API compute.googleapis.com",
    "Error creating service account: "
    + never_used(
        "Identity and Access Management (IAM) API", "iam.googleapis.com"
    ): "the API iam.googleapis.com",
    "Error when reading or editing Project Service: "
    + never_used("Cloud Resource Manager API", "cloudresourcemanager.googleapis.com")
    + ", accessNotConfigured": "the API cloudresourcemanager.googleapis.com",
    never_used(
        "Google Cloud Storage JSON API", "storage-api.googleapis.com"
    ): "the API storage.googleapis.com",
    "googleapi: Error 403: Kubernetes Engine API is not enabled for this project. Please ensure it "
    "is enabled in Google Cloud Console and try again: visit https://console.cloud.google.com/apis/"
    "api/container.googleapis.com/overview?project=my-project to do so., "
    "forbidden": "the API container.googleapis.com",
    "googleapi: Error 400: Failed precondition when calling the ServiceConsumerManager: "
    "tenantmanager::185014: Consumer 516734428525 should enable service:container.googleapis.com "
    "before generating a service account.": "the API container.googleapis.com",
    "googleapi: Error 403: logging.googleapis.com has not been used in project 1 before or it is "
    "disabled., accessNotConfigured": "the API logging.googleapis.com",
    'googleapi: Error 403: Forbidden\nDetails:\n[\n  {\n    "@type": "type.googleapis.com/google.'
    'rpc.ErrorInfo",\n    "domain": "googleapis.com",\n    "metadata": {\n      "consumer": '
    '"projects/406281436678",\n      "service": "monitoring.googleapis.com"\n    },\n    "reason": '
    '"SERVICE_DISABLED"\n  }\n]': "the API monitoring.googleapis.com",
    'Error setting IAM policy for project "my-project": googleapi: Error 400: Service account '
    "service-42573466548@container-engine-robot.iam.gserviceaccount.com does not exist., "
    "badRequest": "the service account "
    "service-42573466548@container-engine-robot.iam.gserviceaccount.com",
    'googleapi: Error 400: Service account "diffusion-nodes-1a2b3c4@my-project.iam.gserviceaccount.'
    'com" does not exist., badRequest': "the service account "
    "diffusion-nodes-1a2b3c4@my-project.iam.gserviceaccount.com",
    "googleapi: Error 403: The service account service-42573466548@container-engine-robot.iam."
    "gserviceaccount.com does not have permission to use the subnetwork., forbidden": "the "
    "permissions of GKE's own service account",
    "googleapi: Error 503: Project my-project is not fully initialized with the default service "
    "accounts. Please try again later., backendError": "the project's service accounts",
    "googleapi: Error 400: Identity Pool does not exist (my-project.svc.id.goog). Please check "
    "that you specified a valid resource name as returned in the `name` attribute in the "
    "configuration API., badRequest": "the project's workload identity pool",
    "Error when reading or editing ManagedSslCertificate: googleapi: Error 400: The "
    "ssl_certificate resource 'projects/my-project/global/sslCertificates/diffusion-web-1a2b3c4' "
    "is already being used by 'projects/my-project/global/targetHttpsProxies/gkegw1-web', "
    "resourceInUseByAnotherResource": "the load balancer, which still uses its old certificate",
}

LASTING = {
    "no billing account": "Error when reading or editing Project Service my-project/compute."
    "googleapis.com: googleapi: Error 400: Billing account for project '522837608576' is not "
    "found. Billing must be enabled for activation of service(s) 'compute.googleapis.com' to "
    "proceed.",
    "billing closed": "googleapi: Error 403: Project my-project (#808448574146) has billing "
    "disabled. Please enable it., forbidden",
    "an API that the program does not enable": never_used(
        "Service Usage API", "serviceusage.googleapis.com", "321157631455"
    ),
    "an API needed to enable another": "Error when reading or editing Project Service my-project/"
    "compute.googleapis.com: "
    + never_used("Service Usage API", "serviceusage.googleapis.com", "888892115941"),
    "gcloud's own project": never_used(
        "Cloud Resource Manager API", "cloudresourcemanager.googleapis.com", "764086051850"
    ),
    "no quota project": "googleapi: Error 403: Your application is authenticating by using local "
    "Application Default Credentials. The compute.googleapis.com API requires a quota project, "
    "which is not set by default.\nDetails:\n[\n  {\n    "
    '"metadata": {\n      "consumer": "projects/764086051850",\n      "service": '
    '"compute.googleapis.com"\n    },\n    "reason": "SERVICE_DISABLED"\n  }\n]',
    "no permission": "Error creating Network: googleapi: Error 403: Required 'compute.networks."
    "create' permission for 'projects/my-project/global/networks/diffusion', forbidden",
    "a permission on an account": "googleapi: Error 403: Permission iam.serviceAccounts.create is "
    "required to perform this operation on project projects/my-project., forbidden",
    "quota": "googleapi: Error 403: Insufficient regional quota to satisfy request: resource "
    "\"SSD_TOTAL_GB\": request requires '300.0' and is short '50.0'.",
    "a disabled default account": "googleapi: Error 400: Service account "
    "123456789012-compute@developer.gserviceaccount.com is disabled., badRequest",
    "a cluster that exists already": "Error waiting for creating GKE cluster: Google Compute "
    "Engine: service-1@container-engine-robot.iam.gserviceaccount.com does not have permission",
    "a duplicate": "googleapi: Error 409: Already exists: projects/my-project/zones/us-central1-c/"
    "clusters/diffusion-1a2b3c4., alreadyExists",
    "nothing known": "connection reset by peer",
}


@pytest.mark.parametrize("error", PASSING, ids=list(PASSING.values()))
def test_a_refusal_that_time_cures_names_what_it_waits_for(error: str) -> None:
    assert awaited(error) == PASSING[error]


@pytest.mark.parametrize("case", LASTING)
def test_a_refusal_that_lasts_is_told_at_once(case: str) -> None:
    assert awaited(LASTING[case]) is None


def test_a_cli_without_such_hooks_deploys_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "monitor_supports_feature", lambda _feature: False)
    assert patience.patient() == []


def test_patience_ends_before_the_engine_stops_asking() -> None:
    assert PATIENCE_SECONDS / PAUSE_SECONDS < 100


PROGRAM = """
    import pulumi
    from pulumi.dynamic import CreateResult, Resource, ResourceProvider

    from infra.gke.patience import error_hook
    from tests.infra.gke.test_patience import LASTING, never_used

    class NetworkProvider(ResourceProvider):
        def create(self, props):
            with open(props["tries"], "a+") as tries:
                tries.write("x")
                tries.seek(0)
                if len(tries.read()) <= props["refusals"]:
                    raise RuntimeError(props["error"])
            return CreateResult("network", props)

    class Network(Resource):
        def __init__(self, name, refusals, error, hook):
            hooks = pulumi.ResourceHookBinding(on_error=[hook])
            props = {"tries": name, "refusals": refusals, "error": error}
            super().__init__(NetworkProvider(), name, props, pulumi.ResourceOptions(hooks=hooks))

    off = never_used("Compute Engine API", "compute.googleapis.com")
    patient, impatient = error_hook("patient", 600, 0.05), error_hook("impatient", 0, 0.05)
    Network("enabled-now", 2, off, patient)
    Network("without-billing", 1, LASTING["no billing account"], patient)
    Network("never-enabled", 99, off, impatient)
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pulumi") is None, reason="the official CLI is not on PATH")
def test_the_official_engine_tries_again_until_an_api_answers_but_not_for_ever(
    tmp_path: Path,
) -> None:
    write_program(tmp_path, "trial", dedent(PROGRAM))
    environment = cli_environment(tmp_path)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        arguments = ["pulumi", *command, "--non-interactive", "--color", "never"]
        return subprocess.run(
            arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    def tries(name: str) -> int:
        return len((tmp_path / name).read_text())

    assert run("stack", "init", "trial").returncode == 0
    up = run("up", "--yes", "--skip-preview", "--continue-on-error")
    assert up.returncode != 0
    assert (tries("enabled-now"), tries("without-billing"), tries("never-enabled")) == (3, 1, 2)
    assert "enabled-now waits for the API compute.googleapis.com" in up.stdout
    assert "Billing account for project" in up.stdout
    assert "has not been used in project" in up.stdout

    state = run("stack", "export")
    assert "enabled-now" in state.stdout and "without-billing" not in state.stdout
    destroyed = run("destroy", "--yes", "--skip-preview")
    assert destroyed.returncode == 0, destroyed.stdout
