"""Settings of the GKE stacks: the committed values, and which values are valid."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.settings import stack as settings
from infra.settings.access import PRIVATE_RANGES
from infra.settings.gke import GkeSettings
from infra.settings.keys import PLACEHOLDER
from infra.settings.machines import MACHINE_TYPES
from infra.settings.pod import FUSE_SIDECAR
from infra.settings.values import SettingsError
from infra.settings.web import WEB_CONTAINER
from model_export.sd14.family import SD14
from model_export.spec import PRECISIONS, WEIGHTS_LICENCE
from render.recorder import PROJECT, ROOT, stack_config

PROJECT_ID = "my-project-1"
DIGEST = "sha256:" + "0a" * 32


def values(stack: str = "dev", **changes: str) -> dict[str, str]:
    config = {k.removeprefix(f"{PROJECT}:"): v for k, v in stack_config(stack).items()}
    by_hand = {
        "allowedSourceRanges": "203.0.113.0/24",
        "acceptLicence": WEIGHTS_LICENCE,
        "apiKeys": PLACEHOLDER,
    }
    return config | by_hand | changes


def parsed(stack: str = "dev", **changes: str) -> GkeSettings:
    gke = settings.parse(values(stack, **changes), PROJECT_ID).gke
    assert gke is not None
    return gke


def test_dev_has_the_shape_of_the_published_tutorial() -> None:
    gke = parsed()
    assert (gke.location, gke.region) == ("us-central1-c", "us-central1")
    assert gke.nodes.machine.name == "n2-standard-4"
    assert (gke.nodes.spot, gke.nodes.min_nodes, gke.nodes.max_nodes) == (True, 1, 2)
    assert (gke.pod.min_replicas, gke.pod.max_replicas, gke.pod.cpu_target_percent) == (1, 2, 60)
    assert gke.nodes.zones == () and gke.image_digest == ""


def test_dev_requests_the_tutorials_3_cpu_and_12_gib_and_they_fit() -> None:
    pod = parsed().pod
    assert (pod.cpu, pod.memory_gib, pod.per_node) == (3, 12, 1)


def test_dev_fits_a_quota_of_8_n2_cpus() -> None:
    nodes = parsed().nodes
    assert nodes.machine.vcpus * nodes.max_nodes <= 8


def test_dev_has_no_room_for_a_surge_pod_and_prod_has() -> None:
    assert not parsed("dev").has_surge_room
    assert parsed("prod").has_surge_room


def test_prod_is_protected_and_regional() -> None:
    gke = parsed("prod")
    assert gke.deletion_protection
    assert gke.location == gke.region == "us-central1"


def test_the_fuse_sidecar_takes_its_share_of_the_node() -> None:
    pod = parsed(modelAccess="fuse").pod
    assert (pod.cpu, pod.memory_gib) == (3, 11)


@pytest.mark.parametrize(
    ("size", "precision", "gib", "enough"),
    [("384", "float32", "6", "7"), ("768", "float32", "7", "8"), ("768", "bfloat16", "5", "6")],
)
def test_a_pod_that_the_model_does_not_fit_into_is_refused(
    size: str, precision: str, gib: str, enough: str
) -> None:
    asked = {"imageSize": size, "precision": precision}
    message = f"^memoryRequestGib: {gib} GiB is too little: "
    with pytest.raises(SettingsError, match=message) as error:
        parsed(memoryRequestGib=gib, **asked)
    assert f"the sd14 model at {size} px in {precision} needs" in str(error.value)
    assert f":memoryRequestGib: {enough}`" in str(error.value)
    assert parsed(memoryRequestGib=enough, **asked).pod.memory_gib == int(enough)


def test_the_documented_memory_peaks_are_the_required_ones() -> None:
    rows = re.findall(
        r"^\| (\d+) px (\w+) \|.*\| ([\d.]+) GB \|$",
        (ROOT / "docs" / "model.md").read_text(),
        re.MULTILINE,
    )
    documented = {(precision, int(size)): float(gb) for size, precision, gb in rows}
    assert documented == {
        (precision, size): peak / 1e9
        for precision, peaks in SD14.peak_memory_bytes.items()
        for size, peak in peaks.items()
    }


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("size", SD14.image_sizes)
def test_every_size_fits_into_the_tutorials_12_gib(size: int, precision: str) -> None:
    assert parsed(imageSize=str(size), precision=precision).pod.memory_gib == 12


def test_smaller_pods_share_a_node() -> None:
    gke = parsed(modelFamily="demo", cpuRequest="1", memoryRequestGib="4", maxReplicas="6")
    assert gke.pod.per_node == 3
    assert not gke.has_surge_room


def test_the_web_container_takes_its_share_of_the_pods_memory() -> None:
    pod = parsed().pod
    assert pod.model_server_mib + WEB_CONTAINER.memory_mib == pod.memory_gib * 1024


@pytest.mark.parametrize("machine", MACHINE_TYPES)
def test_the_web_container_costs_no_machine_type_a_whole_cpu(machine: str) -> None:
    room = MACHINE_TYPES[machine].room()
    assert (room.millicpu - WEB_CONTAINER.millicpu) // 1000 == room.millicpu // 1000


@pytest.mark.parametrize(
    "image", ["web:1.0", f"registry.example:5000/a/web@{DIGEST}", f"r.example/w:latest@{DIGEST}"]
)
def test_a_ready_image_of_the_web_service_has_a_version_or_a_digest(image: str) -> None:
    assert parsed(webImage=image).web.image == image


@pytest.mark.parametrize("base", ["python:3.13-slim", f"r.example/base@{DIGEST}", "a.b/c:nonroot"])
def test_the_web_services_image_is_made_on_any_tag(base: str) -> None:
    assert parsed(webImageBase=base, webPython="3.12").web.image_base == base


def test_a_digest_pins_the_image() -> None:
    assert parsed(imageDigest=DIGEST).image_digest == DIGEST


def test_ranges_are_separated_by_commas_or_spaces_and_deduplicated() -> None:
    ranges = "203.0.113.7, 10.1.0.0/16 10.1.0.0/16"
    given = parsed(exposeModelServer="true", allowedSourceRanges=ranges).access
    assert given.source_ranges == ("203.0.113.7/32", "10.1.0.0/16")


def test_an_internal_service_lets_in_private_ranges_unless_told_otherwise() -> None:
    inside = {"exposeModelServer": "true", "internal": "true"}
    assert parsed(**inside, allowedSourceRanges="").access.source_ranges == PRIVATE_RANGES
    assert parsed(**inside).access.source_ranges == ("203.0.113.0/24",)


@pytest.mark.parametrize(
    ("zones", "says"),
    [
        ("", "is empty: list the zones of us-central1 that have the machine type"),
        ("us-central1-a,us-east1-b", "'us-east1-b' is not a zone of us-central1"),
        ("a,b", "'a' is not a zone of us-central1"),
    ],
)
def test_a_regional_cluster_names_its_zones(zones: str, says: str) -> None:
    assert parsed("prod").nodes.zones == ("us-central1-a", "us-central1-c")
    with pytest.raises(SettingsError, match=re.escape(f"zones: {says}")):
        parsed("prod", zones=zones)


def test_the_least_nodes_are_the_same_in_each_zone_from_the_first_minute() -> None:
    assert parsed("prod", minNodes="4").nodes.min_nodes == 4
    with pytest.raises(SettingsError, match=r"^minNodes: must be a multiple of .* zones \(2\)"):
        parsed("prod", minNodes="3")


def test_who_reaches_the_model_server_is_a_setting() -> None:
    assert parsed(exposeModelServer="true").access.exposed == ("grpc", "rest")
    assert parsed(exposeModelServer="rest").access.exposed == ("rest",)


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_nobody_reaches_any_server_unless_told_so_and_no_ranges_are_needed(stack: str) -> None:
    nobody = parsed(stack, allowedSourceRanges="").access
    assert (nobody.exposed, nobody.plain_http, nobody.source_ranges) == ((), False, ())


@pytest.mark.parametrize("opening", ["allowPlainHttp", "exposeModelServer"])
def test_whatever_is_open_needs_ranges_of_who_may_connect(opening: str) -> None:
    assert parsed(**{opening: "true"}).access.source_ranges == ("203.0.113.0/24",)
    with pytest.raises(
        SettingsError, match=r"^allowedSourceRanges: is empty: list who may connect"
    ):
        parsed(**{opening: "true", "allowedSourceRanges": ""})


@pytest.mark.parametrize(
    "domain", ["example.com", "draw.example.com", "a-1.b2.example.co.uk", "draw.xn--p1ai"]
)
def test_a_domain_opens_the_web_service(domain: str) -> None:
    opened = parsed(domain=domain).access
    assert (opened.domain, opened.plain_http, opened.exposed) == (domain, False, ())
    assert opened.source_ranges == ("203.0.113.0/24",)


def test_a_domain_needs_ranges_and_everybody_is_one_that_must_be_written_down() -> None:
    with pytest.raises(SettingsError, match=r"^allowedSourceRanges: is empty") as error:
        parsed(domain="draw.example.com", allowedSourceRanges="")
    assert "internal" not in str(error.value)
    everybody = parsed(domain="draw.example.com", allowedSourceRanges="0.0.0.0/0").access
    assert everybody.source_ranges == ("0.0.0.0/0",)
    with pytest.raises(SettingsError, match=r"^allowedSourceRanges: 0\.0\.0\.0/0 is too wide"):
        parsed(domain="draw.example.com", allowedSourceRanges="0.0.0.0/0", exposeModelServer="rest")


@pytest.mark.parametrize("other", ["allowPlainHttp", "internal"])
def test_a_domain_beside_what_contradicts_it_is_refused_in_one_line(other: str) -> None:
    with pytest.raises(SettingsError, match=rf"^domain: .*{other}.*: set one\. In Pulumi") as error:
        parsed(domain="draw.example.com", **{other: "true"})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "domain",
    [
        *("localhost", "https://draw.example.com", "draw.example.com.", "draw.example.com:443"),
        *("*.example.com", "Draw.example.com", "203.0.113.7", "draw_1.example.com", "-a.example"),
        *("a..example.com", "draw.example.com/x", "draw.пример", f"{'a' * 64}.com", "a.b.c-"),
        f"{'a.' * 126}com",
    ],
)
def test_what_is_no_domain_is_refused_with_an_example(domain: str) -> None:
    with pytest.raises(SettingsError, match=r"^domain: must be the full name of a host") as error:
        parsed(domain=domain)
    assert str(error.value).endswith(":domain: draw.example.com`")


def test_one_address_is_not_for_two_load_balancers() -> None:
    both = {"allowPlainHttp": "true", "exposeModelServer": "rest"}
    assert parsed(**both).access.plain_http
    assert parsed(allowPlainHttp="true", loadBalancerAddress="static").access.address == "static"
    with pytest.raises(SettingsError, match=r"^loadBalancerAddress: is one address, but "):
        parsed(**both, loadBalancerAddress="static")


def test_the_local_stack_needs_no_cloud_settings() -> None:
    local = {k.removeprefix(f"{PROJECT}:"): v for k, v in stack_config("local").items()}
    assert settings.parse(local).gke is None


def test_a_missing_project_is_reported_in_one_line_with_the_line_to_add() -> None:
    with pytest.raises(SettingsError) as error:
        settings.parse(values())
    assert str(error.value).startswith("gcp:project: is missing. In Pulumi.")
    assert str(error.value).endswith(", under `config:`, put `gcp:project: YOUR_PROJECT_ID`")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("location", "moon", "must be a zone like us-central1-c or a region like us-central1"),
        ("location", "us-central1-c-2", "must be a zone like"),
        ("machineType", "n1-standard-4", "must be one of n2-standard-4, "),
        ("nodeDiskGib", "10", "must be a whole number from 30 to 2000, not '10'"),
        ("spot", "yes", "must be true or false, not 'yes'"),
        ("minNodes", "-1", "must be a whole number from 0 to 100, not '-1'"),
        ("zones", "us-central1-a", "must be empty, since location is the zone us-central1-c"),
        ("exposeModelServer", "no", "must be one of true, rest, false, not 'no'"),
        ("loadBalancerAddress", "My_IP", "must be ephemeral, static, or the name of an address"),
        ("minNodes", "3", "maxNodes: must be a whole number from 3 to 100, not '2'"),
        ("maxReplicas", "0", "must be a whole number from 1 to 1000, not '0'"),
        (
            "maxReplicas",
            "3",
            "3 pods of 3 CPUs and 12 GiB do not fit on 2 x n2-standard-4 (maxNodes), which hold 2",
        ),
        ("maxNodes", "1", "maxReplicas: 2 pods of 3 CPUs and 12 GiB do not fit on 1 x"),
        ("cpuTargetPercent", "100", "must be a whole number from 10 to 95, not '100'"),
        ("cpuRequest", "4", "4 CPUs do not fit on n2-standard-4, which leaves 3 for a pod"),
        ("memoryRequestGib", "13", "13 GiB do not fit on n2-standard-4, which leaves 12 for a pod"),
        ("allowedSourceRanges", "", "is empty: list who may connect"),
        ("allowedSourceRanges", "0.0.0.0/0", "0.0.0.0/0 is too wide"),
        ("allowedSourceRanges", "0.0.0.0/1,128.0.0.0/1", "0.0.0.0/1 is too wide"),
        ("allowedSourceRanges", "2001:db8::/64", "2001:db8::/64 is not IPv4"),
        ("allowedSourceRanges", "203.0.113.7/24", "'203.0.113.7/24' is not an address range"),
        ("allowPlainHttp", "yes", "must be true or false, not 'yes'"),
        ("internal", "True", "must be true or false, not 'True'"),
        ("imageDigest", "sha256:12", "must be empty or sha256: and 64 hex digits, not 'sha256:12'"),
        ("webImage", "web", "must be empty or an image with a version or a digest, not 'web'"),
        ("webImage", "registry.example/web:latest", "must be empty or an image with a version"),
        ("webImage", "registry.example/web:1.0 ", "must be empty or an image with a version"),
        ("webImage", "https://registry.example/web:1.0", "must be empty or an image with"),
        ("webImageBase", "", "must be an image with a tag or a digest, not ''"),
        ("webImageBase", "python", "must be an image with a tag or a digest, not 'python'"),
        ("webPython", "3.14", "must be one of 3.13, 3.12, 3.11, not '3.14'"),
        ("modelAccess", "nfs", "must be one of gs, fuse, not 'nfs'"),
        ("deletionProtection", "1", "must be true or false, not '1'"),
    ],
)
def test_an_invalid_value_is_reported_with_its_key_and_the_remedy(
    key: str, value: str, says: str
) -> None:
    with pytest.raises(SettingsError) as error:
        parsed(**{"exposeModelServer": "true", key: value})
    text = str(error.value)
    named, _, _ = text.partition(": ")
    assert text.removeprefix(f"{key}: ").startswith(says)
    assert f":{named}: " in text.partition(", under `config:`, put `")[2]
    assert "\n" not in text


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("internal", "True", "true"),
        ("exposeModelServer", "False", "false"),
        ("modelAccess", "FUSE", "fuse"),
        ("target", "GKE", "gke"),
    ],
)
def test_the_remedy_for_capital_letters_is_the_value_that_is_meant(
    key: str, value: str, meant: str
) -> None:
    with pytest.raises(SettingsError, match=f"put `[^`]*:{key}: {meant}`$"):
        parsed(**{key: value})


def test_an_address_inside_of_a_range_is_answered_with_the_range_and_the_address() -> None:
    meant = "(the range is 203.0.113.0/24, the address alone 203.0.113.7/32)"
    with pytest.raises(SettingsError, match=re.escape(meant)):
        parsed(exposeModelServer="true", allowedSourceRanges="203.0.113.7/24")


@pytest.mark.parametrize("project", ["", "My Project", "x", "-abcdef", "a" * 31])
def test_an_invalid_project_id_is_refused(project: str) -> None:
    with pytest.raises(SettingsError, match="gcp:project: "):
        settings.parse(values(), project)


def test_every_machine_type_has_room_for_a_pod_within_its_size() -> None:
    for machine in MACHINE_TYPES.values():
        room, all_pods = machine.room(), machine.allocatable()
        assert 1000 <= room.millicpu < all_pods.millicpu < machine.vcpus * 1000
        assert 8 * 1024 <= room.memory_mib < all_pods.memory_mib < machine.memory_gib * 1024


def test_reservations_follow_the_published_formula() -> None:
    small = MACHINE_TYPES["n2-standard-4"].allocatable()
    assert small.millicpu == 4000 - (60 + 10 + 10)
    reserved_mib = 1024 * (4 * 0.25 + 4 * 0.20 + 8 * 0.10) + 100
    assert small.memory_mib == pytest.approx(16 * 1024 * 0.977 - reserved_mib, abs=1)
    assert MACHINE_TYPES["n2-standard-8"].allocatable().millicpu == 8000 - 90


def _text(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[str]:
    return strategy.map(str)


def _switch() -> st.SearchStrategy[str]:
    return st.sampled_from(["true", "false", "maybe"])


CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "location": st.sampled_from(["us-central1-c", "europe-west4", "nowhere"]),
        "zones": st.sampled_from(["", "europe-west4-a", "europe-west4-a,europe-west4-b", "x"]),
        "exposeModelServer": st.sampled_from(["true", "rest", "false", "yes"]),
        "allowPlainHttp": _switch(),
        "loadBalancerAddress": st.sampled_from(["ephemeral", "static", "mine", "MINE"]),
        "machineType": st.sampled_from([*MACHINE_TYPES, "n1-standard-4"]),
        "nodeDiskGib": _text(st.integers(20, 2100)),
        "spot": _switch(),
        "minNodes": _text(st.integers(-1, 8)),
        "maxNodes": _text(st.integers(-1, 8)),
        "minReplicas": _text(st.integers(-1, 20)),
        "maxReplicas": _text(st.integers(-1, 20)),
        "cpuTargetPercent": _text(st.integers(0, 110)),
        "cpuRequest": _text(st.integers(-1, 24)),
        "memoryRequestGib": _text(st.integers(-1, 180)),
        "allowedSourceRanges": st.lists(
            st.builds("{}/{}".format, st.ip_addresses(v=4), st.sampled_from([0, 8, 24, 32])),
            max_size=2,
        ).map(",".join),
        "internal": _switch(),
        "imageDigest": st.sampled_from(["", DIGEST, "latest"]),
        "modelAccess": st.sampled_from(["gs", "fuse", "nfs"]),
        "deletionProtection": _switch(),
        "queue": _text(st.integers(0, 20)),
        "requestTimeoutSeconds": _text(st.integers(-1, 4000)),
    },
)


@pytest.mark.slow
def test_any_configuration_is_consistent_or_one_clear_error() -> None:
    consistent = 0

    @given(st.sampled_from(["dev", "prod"]), CONFIGS)
    @hypothesis_settings(
        max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    def check(stack: str, changes: dict[str, str]) -> None:
        nonlocal consistent
        try:
            gke = parsed(stack, **changes)
        except SettingsError as error:
            text = str(error)
            assert text.partition(": ")[0] in settings.KEYS
            assert "\n" not in text and "under `config:`, put `" in text
        else:
            assert_consistent(gke)
            consistent += 1

    check()
    assert consistent > 3, "else only refusals were looked at"


def assert_consistent(gke: GkeSettings) -> None:
    pod, nodes, room = gke.pod, gke.nodes, gke.nodes.machine.room()
    sidecar = FUSE_SIDECAR if gke.model_access == "fuse" else None
    assert pod.per_node >= 1
    cpu = 1000 * pod.cpu + WEB_CONTAINER.millicpu + (sidecar.millicpu if sidecar else 0)
    memory = 1024 * pod.memory_gib + (sidecar.memory_mib if sidecar else 0)
    assert pod.per_node * cpu <= room.millicpu
    assert pod.per_node * memory <= room.memory_mib
    assert 1 <= pod.min_replicas <= pod.max_replicas <= pod.per_node * nodes.max_nodes
    assert 0 <= nodes.min_nodes <= nodes.max_nodes and nodes.max_nodes >= 1
    assert nodes.min_nodes % max(1, len(nodes.zones)) == 0
    assert bool(nodes.zones) == (gke.location == gke.region)
    ranges = gke.access.source_ranges
    assert bool(ranges) == (bool(gke.access.exposed) or gke.access.plain_http)
    assert all(ipaddress.ip_network(text).prefixlen >= 8 for text in ranges)


def test_the_documentation_has_the_pod_requests_of_each_stack() -> None:
    pods = [parsed(stack).pod for stack in ("dev", "prod")]
    row = "".join(f" {pod.cpu} CPUs, {pod.memory_gib} GiB |" for pod in pods)
    text = (ROOT / "docs/gke.md").read_text()
    assert f"| a pod requests |{row}" in text
    cpus = [parsed(s).nodes.machine.vcpus * parsed(s).nodes.max_nodes for s in ("dev", "prod")]
    assert f"| CPUs of the machine family (N2, C3) | {cpus[0]} | {cpus[1]} |" in text
