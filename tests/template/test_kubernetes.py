"""Deployed on Kubernetes: the manifests, rendered and validated; and the Pod, started from them by podman."""

import base64
import functools
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .. import containers
from ..service import BIN, Service, write_service
from .images import Images, images  # noqa: F401

pytestmark = pytest.mark.slow

Document = dict[str, Any]
KUSTOMIZE = "localhost/kustomize"
OVERLAYS = ("staging", "production")
DRAIN, SPARE = 25, 10  # seconds


@functools.cache
def kustomize() -> str:
    """The image of kustomize."""
    containers.bases()
    containers.build(containers.STAND_INS, "--file", containers.STAND_INS / "kustomize.Dockerfile", tag=KUSTOMIZE)
    return KUSTOMIZE


def build(service: Service, overlay: str) -> subprocess.CompletedProcess[str]:
    """What `kubectl kustomize deploy/kubernetes/overlays/OVERLAY` does."""
    mount = f"--volume={service.folder / 'deploy/kubernetes'}:/work:ro"
    command = ["podman", "run", "--rm", "--network=none", mount, kustomize(), "build", f"/work/overlays/{overlay}"]
    return subprocess.run(command, env=containers.environment(), capture_output=True, text=True, timeout=60)


def render(service: Service, overlay: str) -> list[Document]:
    result = build(service, overlay)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return list(yaml.safe_load_all(result.stdout))


def one(documents: list[Document], kind: str) -> Document:
    (document,) = [document for document in documents if document["kind"] == kind]
    return document


@pytest.fixture(scope="module", params=["none", "full"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Service:
    folder = tmp_path_factory.mktemp("kubernetes") / "orders"
    return write_service(folder, name="Orders_2.api", deploy=("kubernetes",), telemetry=request.param)


@pytest.fixture(scope="module", params=OVERLAYS)
def documents(request: pytest.FixtureRequest, service: Service) -> list[Document]:
    return render(service, request.param)


def test_every_document_is_valid(documents: list[Document], tmp_path: Path) -> None:
    for document in documents:
        file = tmp_path / f"{document['kind']}.yaml"
        file.write_text(yaml.safe_dump(document))
        if document["apiVersion"].startswith("gateway.networking.k8s.io/"):
            continue  # of no schema that is installed: the test of the route reads it field by field
        result = subprocess.run([BIN / "kubernetes-validate", "--strict", file], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
    assert {document["kind"] for document in documents} == {
        "Namespace", "ServiceAccount", "ConfigMap", "Secret", "Service", "Deployment", "PodDisruptionBudget",
        "HorizontalPodAutoscaler", "HTTPRoute", "NetworkPolicy",
    }  # fmt: skip


def test_the_name_is_one_that_kubernetes_takes(documents: list[Document]) -> None:
    label = "app.kubernetes.io/name"
    assert {document["metadata"]["labels"][label] for document in documents} == {"orders-2-api"}
    deployment = one(documents, "Deployment")["spec"]
    for selector in (
        deployment["selector"]["matchLabels"],
        deployment["template"]["metadata"]["labels"],
        *(
            spread["labelSelector"]["matchLabels"]
            for spread in deployment["template"]["spec"]["topologySpreadConstraints"]
        ),
        one(documents, "Service")["spec"]["selector"],
        one(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector == {label: "orders-2-api"}


def test_the_pod_meets_the_restricted_profile(documents: list[Document]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, in the order of that page."""
    enforced = one(documents, "Namespace")["metadata"]["labels"]
    assert enforced["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = one(documents, "Deployment")["spec"]["template"]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert {next(key for key in volume if key != "name") for volume in pod["volumes"]} == {"emptyDir", "secret"}
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"] and not pod["enableServiceLinks"]
    for container in pod["containers"]:
        assert not any("hostPort" in port for port in container["ports"])
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_there_is_time_to_leave(documents: list[Document]) -> None:
    settings = one(documents, "ConfigMap")["data"]
    pod = one(documents, "Deployment")["spec"]["template"]["spec"]
    waits = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert waits >= 5
    assert int(settings["DRAIN_SECONDS"]) == DRAIN
    assert pod["terminationGracePeriodSeconds"] >= waits + DRAIN + SPARE
    assert settings["WEB_CONCURRENCY"] == "1"


def test_no_change_leaves_too_few(documents: list[Document], request: pytest.FixtureRequest) -> None:
    deployment, scaler = one(documents, "Deployment")["spec"], one(documents, "HorizontalPodAutoscaler")["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert "replicas" not in deployment
    assert scaler["scaleTargetRef"]["name"] == one(documents, "Deployment")["metadata"]["name"]
    staging = "staging" in one(documents, "Namespace")["metadata"]["name"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == ((1, 2) if staging else (3, 20))
    assert one(documents, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    spread = [rule["topologyKey"] for rule in deployment["template"]["spec"]["topologySpreadConstraints"]]
    assert spread == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


def test_the_route_leads_to_the_service_and_that_to_the_pods_port(documents: list[Document]) -> None:
    route, target = one(documents, "HTTPRoute"), one(documents, "Service")
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert set(route["spec"]) == {"parentRefs", "hostnames", "rules"}
    (rule,) = route["spec"]["rules"]
    assert rule == {
        "backendRefs": [{"name": target["metadata"]["name"], "port": target["spec"]["ports"][0]["port"]}],
        "timeouts": {"request": "0s"},
    }
    (container,) = one(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert target["spec"]["ports"][0]["targetPort"] == "http" and ports["http"] == 8000
    allowed = one(documents, "NetworkPolicy")["spec"]["ingress"]
    assert {rule["ports"][0]["port"] for rule in allowed} == set(ports)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == "http"


def test_a_changed_setting_or_secret_rolls_out(service: Service) -> None:
    overlay = service.folder / "deploy/kubernetes/overlays/staging"
    (overlay / "secrets").mkdir()
    service.edit(f"{overlay}/kustomization.yaml", "files: []", "files: [secrets/loans_max_months]")
    missing = build(service, "staging")
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1 and "secrets/loans_max_months: no such file" in missing.stderr
    names = []
    for number in ("36", "48"):
        (overlay / "secrets/loans_max_months").write_text(f"{number}\n")
        documents = render(service, "staging")
        secret = one(documents, "Secret")
        assert base64.b64decode(secret["data"]["loans_max_months"]) == f"{number}\n".encode()
        volumes = one(documents, "Deployment")["spec"]["template"]["spec"]["volumes"]
        assert [volume["secret"]["secretName"] for volume in volumes if "secret" in volume] == [
            secret["metadata"]["name"]
        ]
        names.append(secret["metadata"]["name"])
    assert names[0] != names[1]
    assert "secrets/" in (service.folder / ".gitignore").read_text()
    service.edit(f"{overlay}/kustomization.yaml", "files: [secrets/loans_max_months]", "files: []")
