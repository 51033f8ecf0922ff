"""``cluster/kubernetes``: its pods, as Kubernetes makes them, run by podman."""

import copy
import json
import re
from importlib import resources
from urllib.request import urlopen

import jsonschema
import kubernetes_validate
import pytest
import yaml

pytest.importorskip("dask_kubernetes", reason="dask-kubernetes is not installed")

from dask_kubernetes.operator.controller import controller as operator
from dask_kubernetes.operator.validation import validate_cluster_name

from tests.recipes.conftest import ROOT

pytestmark = [
    pytest.mark.recipes,
    pytest.mark.timeout(3600),  # TensorFlow is installed
    # Of Python, and of what the client alone has.
    pytest.mark.filterwarnings("ignore:Mismatched versions"),
]
WORKERS = 4
NETWORK = "fcdcc-kubernetes"
NAMESPACE = "default"


def documents(name):
    text = (ROOT / f"cluster/kubernetes/{name}.yaml").read_text("utf-8")
    return list(yaml.safe_load_all(text))


def made_by_the_operator():
    """Returns scheduler's and workers' Deployments, and the scheduler's Service."""
    (cluster,) = documents("operator")
    name, spec = cluster["metadata"]["name"], cluster["spec"]

    def labels(part):
        return spec[part]["metadata"]["labels"]

    pod = spec["scheduler"]["spec"]
    scheduler = operator.build_scheduler_deployment_spec(
        name, pod, {}, labels("scheduler")
    )
    service = operator.build_scheduler_service_spec(
        name, spec["scheduler"]["service"], {}, labels("scheduler")
    )
    pod = spec["worker"]["spec"]
    workers = [
        operator.build_worker_deployment_spec(
            f"{name}-default", NAMESPACE, name, str(i), pod, {}, labels("worker")
        )
        for i in range(WORKERS)
    ]
    return scheduler, workers, service


def made_by_kubernetes(deployment, count):
    """Returns the pods of a Deployment, each with a name of its own."""
    template = deployment["spec"]["template"]
    pods = []
    for i in range(count):
        name = f"{deployment['metadata']['name']}-{i}"
        pod = copy.deepcopy(template)
        pod["metadata"] = {"name": name, "labels": template["metadata"]["labels"]}
        pods.append({"apiVersion": "v1", "kind": "Pod", **pod})
    return pods


def pods(way):
    """Returns the scheduler's name, its pod, and the workers' pods."""
    if way == "operator":
        scheduler, workers, service = made_by_the_operator()
        found = [pod for each in workers for pod in made_by_kubernetes(each, 1)]
    else:
        service, scheduler, worker = documents("plain")
        found = made_by_kubernetes(worker, WORKERS)
    return service["metadata"]["name"], made_by_kubernetes(scheduler, 1)[0], found


def expanded(argument, container, name):
    """Returns an argument with the values of the variables in it."""
    values = {
        each["name"]: each.get("value", name) for each in container.get("env", ())
    }
    return re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], argument)


class Pods:
    """Runs pods, but for their ports and probes, which podman would open and ask.

    What an argument takes from the environment, it leaves to Kubernetes, too.
    """

    def __init__(self, podman):
        self.podman = podman
        self.made = []

    def play(self, pod, *aliases):
        pod = copy.deepcopy(pod)
        (container,) = pod["spec"]["containers"]
        for key in ("ports", *(k for k in list(container) if k.endswith("Probe"))):
            container.pop(key, None)
        name = pod["metadata"]["name"]
        container["args"] = [
            expanded(each, container, name) for each in container["args"]
        ]
        file = self.podman.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(pod))
        network = ":".join([NETWORK, ",".join(f"alias={a}" for a in aliases)])
        self.made.append(name)
        self.podman("kube", "play", "--network", network.rstrip(":"), file)
        return f"{name}-{container['name']}"

    def address(self, container):
        script = "import socket; print(socket.gethostbyname(socket.gethostname()))"
        return self.podman("exec", container, "python3", "-c", script).stdout.strip()

    def end(self):
        for name in self.made:
            self.podman("pod", "rm", "--force", "--time", "1", name, check=False)


@pytest.fixture(scope="module", params=["plain", "operator"])
def brought_up(request, podman, images):
    """Gives the pods, the scheduler's container, and the workers'."""
    name, scheduler, workers = pods(request.param)
    running = Pods(podman)
    podman("network", "create", NETWORK)
    try:
        names = name, f"{name}.{NAMESPACE}.svc.cluster.local"
        head = running.play(scheduler, *names)
        yield running, head, [running.play(worker) for worker in workers]
    finally:
        running.end()
        podman("network", "rm", "--force", NETWORK)


def test_pods_give_each_other_halos(brought_up, exchange_halos):
    running, head, _ = brought_up
    exchange_halos(f"tcp://{running.address(head)}:8786", WORKERS)


def test_a_pod_is_killed_in_the_middle_of_an_evaluation(brought_up, evaluate_while):
    running, head, workers = brought_up
    address = f"tcp://{running.address(head)}:8786"
    found = evaluate_while(
        address, lambda pids: running.podman.kill(workers[1]), workers=WORKERS
    )
    assert sum(c["failed"] > 0 for c in found.summary.outcomes.values()) == 1


def test_what_probes_ask_is_answered(brought_up):
    running, head, workers = brought_up
    for container, port in ((head, 8787), *((each, 8788) for each in workers[2:])):
        with urlopen(f"http://{running.address(container)}:{port}/health") as answer:
            assert answer.read() == b"ok"


def test_the_job_predicts_what_the_plain_model_predicts(brought_up):
    running, _, _ = brought_up
    (job,) = documents("evaluate")
    (pod,) = made_by_kubernetes(job, 1)
    pod["spec"]["restartPolicy"] = "Never"
    container = running.play(pod)
    assert running.podman("wait", container, timeout=300).stdout.strip() == "0"
    printed = running.podman("logs", container).stdout
    assert re.search(r"predictions that differ\s+0 of 450", printed), printed


def test_an_evicted_pod_ends_within_its_grace(brought_up, evaluate_while):
    running, head, workers = brought_up

    def evict(pids):
        running.podman("stop", "--time", "30", workers[2])

    evaluate_while(f"tcp://{running.address(head)}:8786", evict)
    (ended,) = json.loads(running.podman("inspect", workers[2]).stdout)
    assert ended["State"]["ExitCode"] == 0  # it was not killed


def test_what_the_operator_makes_fits_the_schemas():
    scheduler, workers, service = made_by_the_operator()
    version = kubernetes_validate.latest_version()
    for resource in (scheduler, *workers, service):
        kubernetes_validate.validate(resource, version, strict=True)


def test_the_cluster_fits_the_operators_definition():
    (cluster,) = documents("operator")
    validate_cluster_name(cluster["metadata"]["name"])
    chart = "operator/deployment/helm/dask-kubernetes-operator/crds/daskcluster.yaml"
    file = resources.files("dask_kubernetes").joinpath(*chart.split("/"))
    definition = yaml.safe_load(file.read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    jsonschema.validate(cluster, schema)


def test_the_operator_finds_workers_by_their_names():
    _, workers, service = made_by_the_operator()
    for deployment in workers:
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        said = {each["name"]: each["value"] for each in container["env"]}
        assert "--name=$(DASK_WORKER_NAME)" in container["args"]
        assert said["DASK_WORKER_NAME"] == deployment["metadata"]["name"]
        host = service["metadata"]["name"]
        assert said["DASK_SCHEDULER_ADDRESS"].startswith(f"tcp://{host}.{NAMESPACE}.")
