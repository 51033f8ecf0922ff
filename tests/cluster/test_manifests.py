"""What compose and Kubernetes are told fits together, and fits the command line."""

import functools
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from distributed.cli import dask_scheduler

from fcdcc_keras.cli import main
from fcdcc_keras.worker import process

CLUSTER = Path(__file__).parents[2] / "cluster"
FILES = sorted((CLUSTER / "kubernetes").glob("*.yaml"))
WAYS = "plain", "operator"


@functools.cache
def documents(name):
    return list(yaml.safe_load_all((CLUSTER / f"kubernetes/{name}.yaml").read_text()))


def resources(name):
    """Returns a file's resources, of the operator's those that it makes of them."""
    found = []
    for document in documents(name):
        if document["kind"] != "DaskCluster":
            found.append(document)
            continue
        cluster = document["metadata"]["name"]
        for part in ("scheduler", "worker"):
            given = document["spec"][part]
            labels = {
                "dask.org/cluster-name": cluster,
                "dask.org/component": part,
                **given["metadata"]["labels"],
            }
            metadata = {"name": f"{cluster}-{part}", "labels": labels}
            template = {"metadata": metadata, "spec": given["spec"]}
            selector = {"matchLabels": labels}
            found.append(
                {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "metadata": metadata,
                    "spec": {
                        "replicas": given.get("replicas", 1),
                        "selector": selector,
                        "template": template,
                    },
                }
            )
        service = document["spec"]["scheduler"]["service"]
        metadata = {"name": f"{cluster}-scheduler"}
        found.append(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": service,
            }
        )
    return found


def of_kind(name, kind):
    return [r for r in resources(name) if r["kind"] == kind]


def pods(name):
    """Returns labels and specification of each pod, by its container's name."""
    templates = [
        r["spec"]["template"] for k in ("Deployment", "Job") for r in of_kind(name, k)
    ]
    found = {}
    for template in templates:
        (container,) = template["spec"]["containers"]
        found[container["name"]] = template["metadata"]["labels"], template["spec"]
    return found


def container(name, part):
    return pods(name)[part][1]["containers"][0]


def said(command):
    """Returns the options that a command line means, as the command itself reads it."""
    program, name, *arguments = map(str, command)
    if program == "dask":
        assert name == "scheduler"
        return dask_scheduler.main.make_context(name, arguments).params
    assert program == "fcdcc-keras"
    subcommand = main.get_command(None, name)
    return subcommand.make_context(name, arguments).params


def compose():
    return yaml.safe_load((CLUSTER / "containers/compose.yaml").read_text())["services"]


def seconds(text):
    assert text.endswith("s")
    return int(text[:-1])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_resources_fit_the_schemas(file):
    for resource in resources(file.stem):
        version = kubernetes_validate.latest_version()
        kubernetes_validate.validate(resource, version, strict=True)


def test_a_misspelt_field_fits_no_schema():
    worker = yaml.safe_load(yaml.safe_dump(of_kind("plain", "Deployment")[1]))
    worker["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    version = kubernetes_validate.latest_version()
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(worker, version, strict=True)


def test_the_operators_pods_are_the_plain_ones():
    for part in ("scheduler", "worker"):
        labels, plain = pods("plain")[part]
        more, ours = pods("operator")[part]
        assert labels.items() <= more.items()
        here = yaml.safe_load(yaml.safe_dump([plain, ours]))
        for spec in here:
            (one,) = spec["containers"]
            one.pop("env", None)
            one["args"] = [a for a in one["args"] if not a.startswith("--name=")]
        assert here[0] == here[1]


@pytest.mark.parametrize("name", WAYS)
def test_addresses_and_ports_meet(name):
    (service,) = of_kind(name, "Service")
    host = service["metadata"]["name"]
    ports = {p["name"]: p for p in service["spec"]["ports"]}
    address = f"tcp://{host}:{ports['tcp-comm']['port']}"
    scheduler = container(name, "scheduler")
    inside = {p["name"]: p["containerPort"] for p in scheduler["ports"]}
    assert {p["targetPort"] for p in ports.values()} == set(inside)
    started = said(scheduler["args"])
    assert started["port"] == str(inside["tcp-comm"])
    assert started["dashboard_address"] == f":{inside['http-dashboard']}"
    worker = container(name, "worker")
    theirs = {p["name"]: p["containerPort"] for p in worker["ports"]}
    joined = said(worker["args"])
    assert joined["worker_port"] == str(theirs["tcp-comm"])
    assert joined["dashboard_address"] == f":{theirs['http-dashboard']}"
    environment = {e["name"]: e.get("value") for e in worker.get("env", ())}
    if name == "plain":  # the operator gives the same
        assert environment["DASK_SCHEDULER_ADDRESS"] == address
    assert said(container("evaluate", "client")["args"])["cluster"] == address
    # A pod is found by what selects it.
    assert service["spec"]["selector"].items() <= pods(name)["scheduler"][0].items()
    for deployment in of_kind(name, "Deployment"):
        selector = deployment["spec"]["selector"]["matchLabels"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert selector.items() <= labels.items()


@pytest.mark.parametrize("name", WAYS)
def test_a_worker_has_the_time_that_it_takes(name):
    _, spec = pods(name)["worker"]
    worker = container(name, "worker")
    assert spec["terminationGracePeriodSeconds"] >= process.GRACE + 5
    startup = worker["startupProbe"]
    waited = startup["failureThreshold"] * startup.get("periodSeconds", 10)
    assert waited > said(worker["args"])["wait"]
    # The nanny's part is Kubernetes's, which knows workers by the pod's name.
    assert said(worker["args"])["nanny"] is False
    assert said(worker["args"])["name"] in ("$(POD_NAME)", "$(DASK_WORKER_NAME)")


@pytest.mark.parametrize("name", WAYS)
def test_guards_are_for_the_pods_that_are_there(name):
    labels = {part: of for part, (of, _) in pods(name).items()}
    (budget,) = of_kind("guards", "PodDisruptionBudget")
    kept = budget["spec"]["selector"]["matchLabels"]
    assert kept.items() <= labels["worker"].items()
    assert not kept.items() <= labels["scheduler"].items()
    assert budget["spec"]["maxUnavailable"] == 1  # `stragglers`, by default
    (policy,) = of_kind("guards", "NetworkPolicy")
    ours = policy["spec"]["podSelector"]["matchLabels"]
    client = pods("evaluate")["client"][0]
    for each in (*labels.values(), client):
        assert ours.items() <= each.items()
    (ingress,) = policy["spec"]["ingress"]
    assert {"podSelector": {"matchLabels": ours}} in ingress["from"]
    assert "ports" not in ingress  # workers reach each other at theirs


def test_all_run_what_the_containers_build():
    built = {s["image"]: s["build"] for s in compose().values() if "build" in s}
    file = (CLUSTER / "containers/Containerfile").read_text()
    for image, build in built.items():
        assert image.endswith(f"-{build['target']}")
        assert f" AS {build['target']}\n" in file
    for name in (*WAYS, "evaluate"):
        for part, (_, spec) in pods(name).items():
            image = spec["containers"][0]["image"]
            assert image in built
            assert image == compose()[part]["image"]
            user = spec["securityContext"]["runAsUser"]
            assert f"useradd --uid {user} " in file


def test_compose_starts_what_finds_each_other():
    services = compose()
    scheduler, worker = services["scheduler"], services["worker"]
    started, joined = said(scheduler["command"]), said(worker["command"])
    address = f"tcp://scheduler:{started['port']}"
    assert worker["environment"]["DASK_SCHEDULER_ADDRESS"] == address
    assert said(services["client"]["command"])["cluster"] == address
    assert scheduler["ports"][0].endswith(f":{started['port']}")
    for service, options in ((scheduler, started), (worker, joined)):
        health = f"//127.0.0.1{options['dashboard_address']}/health"
        assert health in service["healthcheck"]["test"][-1]
    assert seconds(worker["stop_grace_period"]) >= process.GRACE + 5
    assert seconds(worker["healthcheck"]["start_period"]) > joined["wait"]
    assert joined["nanny"] is False
    assert worker["restart"] == "unless-stopped"
