"""The web service's image in the graph of resources: made by `up`, or a ready one."""

from __future__ import annotations

import pytest

from infra.gke.images import READER_ROLE, repository_id
from render.recorder import Run
from tests.stacks import GKE_STACKS, goes_before, needs, run_of

IMAGES = ("WebImage", "BaseImage", "Repository", "RepositoryIamMember", "ImageRepository")
READY = "registry.example/web:1.0"


@pytest.fixture(params=GKE_STACKS)
def run(request: pytest.FixtureRequest) -> Run:
    return run_of(request.param)


def test_the_image_goes_to_the_stacks_own_repository_in_the_clusters_region(run: Run) -> None:
    repository = run.one("Repository")
    assert repository.inputs["format"] == "DOCKER"
    assert repository.inputs["location"] == "us-central1"
    url = run.one("WebImage").inputs["repository"]
    project = run.one("gcp:container/cluster:Cluster").inputs["nodeConfig"]["serviceAccount"]
    assert url == (
        f"us-central1-docker.pkg.dev/{project.partition('@')[2].partition('.')[0]}/"
        f"{repository.inputs['repositoryId']}"
    )


def test_the_pod_runs_the_image_by_its_digest(run: Run) -> None:
    containers = run.one("Deployment").inputs["spec"]["template"]["spec"]["containers"]
    images = {one["name"]: one["image"] for one in containers}
    assert images["web"] == run.one("WebImage").outputs["reference"]
    assert "/web@sha256:" in images["web"]


def test_nodes_may_read_the_repository_and_nothing_else_of_it(run: Run) -> None:
    member = run.one("RepositoryIamMember")
    account = run.one("gcp:container/cluster:Cluster").inputs["nodeConfig"]["serviceAccount"]
    assert member.inputs["member"] == f"serviceAccount:{account}"
    assert member.inputs["role"] == READER_ROLE == "roles/artifactregistry.reader"
    assert member.inputs["repository"] == run.one("Repository").inputs["repositoryId"]


def test_pods_start_only_when_the_image_and_the_permission_are_there(run: Run) -> None:
    needed = needs(run, run.one("Deployment"))
    assert {run.one(kind).urn for kind in ("WebImage", "RepositoryIamMember")} <= needed


def test_the_image_is_deleted_before_its_repository_and_after_the_pods(run: Run) -> None:
    assert goes_before(run, run.one("WebImage"), "gcp:artifactregistry/repository:Repository")
    deployment = run.one("Deployment")
    assert goes_before(run, deployment, "pulumi-python:dynamic/diffusion:WebImage")


def test_the_base_is_the_settings_tag_with_a_digest_that_is_looked_up() -> None:
    run = run_of("dev", webImageBase="docker.io/library/python:3.12-slim", webPython="3.12")
    assert run.one("BaseImage").inputs["image"] == "docker.io/library/python:3.12-slim"
    image = run.one("WebImage").inputs
    assert image["base"].startswith("docker.io/library/python:3.12-slim@sha256:")
    assert image["python"] == "3.12"


def test_a_ready_image_needs_no_repository() -> None:
    run = run_of("dev", webImage=READY)
    assert not [one.type for kind in IMAGES for one in run.of(kind)]


@pytest.mark.parametrize(
    ("stack", "name"),
    [
        ("dev", "diffusion-dev"),
        ("My.stack_2", "diffusion-my-stack-2"),
        ("x" * 80, "diffusion-" + "x" * 53),
        ("a-", "diffusion-a"),
    ],
)
def test_a_repositorys_name_is_one_that_google_takes(stack: str, name: str) -> None:
    assert repository_id(stack) == name
