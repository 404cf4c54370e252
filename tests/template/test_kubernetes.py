"""Deployed on Kubernetes: the manifests, rendered and validated; and the Pod, started from them by podman."""

import base64
import copy
import functools
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from websockets.sync.client import connect

from .. import containers
from ..service import BIN, Service, eventually, write_service
from .images import Images
from .posting import CLIENTS, answered, posting
from .readme import commands
from .test_compose import MEMORY, WRITE

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
    """What the README's `kubectl kustomize` does, on that overlay."""
    folder = commands(service, "Kubernetes")[2].removeprefix("kubectl kustomize ").replace("staging", overlay)
    mount = f"--volume={service.folder}:/work:ro"
    command = ["podman", "run", "--rm", "--network=none", mount, kustomize(), "build", f"/work/{folder}"]
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
    # The route has no schema that could be installed: the test of the route reads it field by field.
    known = [document for document in documents if document["kind"] != "HTTPRoute"]
    (tmp_path / "rendered.yaml").write_text(yaml.safe_dump_all(known))
    command = [str(BIN / "kubernetes-validate"), "--strict", str(tmp_path / "rendered.yaml")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("INFO ") >= len(known), result.stdout
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
    budget = one(documents, "PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
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


def test_names_may_be_asked_of_a_nodes_own_cache_and_nothing_else(documents: list[Document]) -> None:
    names, *_ = one(documents, "NetworkPolicy")["spec"]["egress"]
    assert [next(iter(peer)) for peer in names["to"]] == ["namespaceSelector", "ipBlock", "ipBlock"]
    assert {port["port"] for port in names["ports"]} == {53}  # 169.254.169.254 has a cloud's tokens on port 80


def test_the_readme_names_what_is_there(service: Service) -> None:
    documents = render(service, "staging")
    image, push, _, apply, status = commands(service, "Kubernetes")
    (container,) = one(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert image == f'make image OPTIONS="--platform linux/amd64 --tag {container["image"]}"'
    assert push == f"docker push {container['image']}"
    assert apply == "kubectl apply --kustomize deploy/kubernetes/overlays/staging"
    deployment = one(documents, "Deployment")["metadata"]
    assert status == f"kubectl rollout status deployment/{deployment['name']} --namespace {deployment['namespace']}"


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


@dataclass
class Pod:
    """A Pod that podman has started from the manifests, on a network of containers."""

    name: str
    documents: list[Document]

    @property
    def container(self) -> str:
        return f"{self.name}-pod-0-service"

    def inspect(self) -> Document:
        (answer,) = json.loads(containers.podman("inspect", self.container))
        return dict(answer)

    @functools.cached_property
    def url(self) -> str:
        (pod,) = json.loads(containers.podman("pod", "inspect", f"{self.name}-pod-0", "--format=[{{json .}}]"))
        (infra,) = json.loads(containers.podman("inspect", pod["InfraContainerID"]))
        (network,) = infra["NetworkSettings"]["Networks"].values()
        return f"http://{network['IPAddress']}:8000"

    def ready(self) -> bool:
        return httpx2.get(f"{self.url}/health/ready").is_success

    def log(self) -> str:
        return containers.podman("logs", self.container)


@contextmanager
def played(documents: list[Document], name: str, folder: Path) -> Iterator[Pod]:
    """The Deployment's Pod, its settings and secrets, as podman takes them; the kubelet's part is the test's."""
    kept = [one(copy.deepcopy(documents), kind) for kind in ("ConfigMap", "Secret", "Deployment")]
    kept[2]["metadata"]["name"] = name
    spec = kept[2]["spec"]["template"]["spec"]
    for volume in spec["volumes"]:
        if "secret" in volume:
            volume["secret"]["optional"] = False  # the default; podman 4 crashes where it is not said
    (container,) = spec["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        del container[probe]  # podman would ask with curl, inside the container
    del container["ports"]  # podman would publish them on this machine
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump_all(kept))
    pod = Pod(name, documents)
    try:
        containers.podman("kube", "play", file)
        eventually(pod.ready, 30, pod.log)
        yield pod
    finally:
        containers.podman("pod", "rm", "--force", "--time=0", f"{name}-pod-0", check=False)


@pytest.fixture(scope="module")
def deployed(images_of_this_run: Images, tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    """The manifests of production, with the image of the tests."""
    containers.require_network()
    service = write_service(tmp_path_factory.mktemp("pod") / "orders", name="orders", deploy=("kubernetes",))
    overlay = "deploy/kubernetes/overlays/production/kustomization.yaml"
    service.edit(overlay, "registry.example.com/orders", images_of_this_run("uv", "distroless"))
    service.edit(overlay, "newTag: 0.1.0", "newTag: latest")
    service.edit(overlay, "files: []", "files: [secrets/database_url]")
    secret = (service.folder / overlay).parent / "secrets/database_url"
    secret.parent.mkdir()
    secret.write_text("postgresql://example.com")
    return render(service, "production")


def test_the_pod_runs_with_its_security_context(deployed: list[Document], tmp_path: Path) -> None:
    with played(deployed, f"orders-{os.getpid()}", tmp_path) as pod:
        assert httpx2.get(pod.url).json() == {"status": "ok"}
        with connect(f"{pod.url.replace('http', 'ws', 1)}/echo") as websocket:
            websocket.send("hello")
            assert websocket.recv(5) == "hello"
        # Its content is no use here: podman 4 does not decode it.
        program = "import os; print(os.listdir(os.environ['CREDENTIALS_DIRECTORY']))"
        assert "'database_url'" in containers.podman("exec", pod.container, "python3", "-c", program)
        running = pod.inspect()
        # A cluster's tokens go there.
        assert "/run/secrets" not in [mount["Destination"] for mount in running["Mounts"]]
        status = Path(f"/proc/{running['State']['Pid']}/status").read_text()
        assert re.findall(r"^Uid:\s+(.*)", status, re.M) == ["65532\t65532\t65532\t65532"]
        assert set(re.findall(r"^Cap\w+:\s+(\w+)", status, re.M)) == {"0" * 16}
        assert "NoNewPrivs:\t1" in status
        assert running["HostConfig"]["Memory"] == 256 * 1024 * 1024
        children = Path(f"/proc/{running['State']['Pid']}/task/{running['State']['Pid']}/children").read_text()
        assert len(children.split()) == 1  # one worker
        writable = containers.podman("exec", pod.container, "python3", "-c", WRITE).split()
        assert set(writable) <= {*MEMORY, "/run", "/var/tmp"} and "/tmp" in writable


def test_a_new_pod_in_the_place_of_an_old_one_loses_no_request(
    deployed: list[Document], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """podman does nothing of preStop: the test waits, as its sleep does, until the last proxy has heard of it."""
    grace = one(deployed, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    with (
        played(deployed, f"old-{os.getpid()}", tmp_path) as old,
        played(deployed, f"new-{os.getpid()}", tmp_path) as new,
        ThreadPoolExecutor(16) as pool,
    ):
        heard = 0  # as many clients know that the old Pod is leaving
        with posting(lambda number: new.url if number < heard else old.url) as posted:
            heard = CLIENTS // 2
            answered(posted)
            slow = [pool.submit(httpx2.get, f"{old.url}/slow?seconds=11", timeout=60) for _ in range(16)]
            eventually(lambda: old.log().count("slow began") == 16)
            heard = CLIENTS
            answered(posted)  # the sleep is over
            containers.podman("stop", f"--time={grace}", old.container)
            assert [answer.result(20).json() for answer in slow] == ["done"] * 16
        assert old.inspect()["State"]["ExitCode"] == 0
    record_property("figure", str(posted))
    assert posted.lost == []
