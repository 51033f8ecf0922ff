"""A cluster whose members show certificates: others are not let in."""

import asyncio
import datetime
import shutil
import signal
import socket
import ssl
import subprocess

import keras
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from distributed import Client, LocalCluster, Security
from distributed.comm.core import connect
from distributed.core import send_recv

import fcdcc_keras as fk
from fcdcc_keras.worker import process as worker_process

PEM = serialization.Encoding.PEM


def authority(name):
    """Returns the key and the certificate of a new authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key, certificate(name, key, name, key, ca=True)


def certificate(name, key, issuer, issuer_key, ca=False):
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    named = [
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, n)])
        for n in (name, issuer)
    ]
    return (
        x509.CertificateBuilder(*reversed(named), key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def write(folder, name):
    """Writes a new authority's certificate, and one with its key of a member."""
    key, signed = ec.generate_private_key(ec.SECP256R1()), authority(name)
    member = certificate("member", key, name, signed[0])
    private = key.private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    contents = {
        "ca-file": signed[1].public_bytes(PEM),
        "cert": member.public_bytes(PEM),
        "key": private,
    }
    files = {what: folder / f"{name}-{what}.pem" for what in contents}
    for what, content in contents.items():
        files[what].write_bytes(content)
    return {what: str(file) for what, file in files.items()}


def security(files):
    members = {
        f"tls_{member}_{what}": files[what]
        for member in ("client", "scheduler", "worker")
        for what in ("cert", "key")
    }
    return Security(tls_ca_file=files["ca-file"], require_encryption=True, **members)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def cluster(files):
    """A scheduler with TLS and two workers of the command."""
    with LocalCluster(
        n_workers=0,
        protocol="tls://",
        host="127.0.0.1",
        security=security(files),
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        workers = [start(cluster.scheduler_address, tls=files) for _ in range(2)]
        with Client(cluster, security=security(files), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            yield client
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)


def start(address, tls=None, errors=subprocess.DEVNULL, wait=0):
    more = [(f"tls-{what}", file) for what, file in (tls or {}).items()]
    return subprocess.Popen(
        worker_process.lasting_command(address, nanny=False, wait=wait, more=more),
        env=worker_process.environment(),
        stdin=subprocess.DEVNULL,
        stderr=errors,
        text=True,
    )


def model():
    keras.utils.set_random_seed(0)
    convolution = keras.layers.Conv2D(8, 3, name="one")
    return keras.Sequential([keras.Input((32, 32, 3)), convolution])


def check(coded, plain, transport):
    x = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
    with fk.closing(coded), fk.trace(coded) as trace:
        np.testing.assert_allclose(coded(x), plain(x), atol=1e-5)
    assert [record.transport for record in trace.records] == [transport]
    assert trace.local_convolutions == 0


@pytest.mark.parametrize("transport", ["direct", "tasks"])
def test_a_model_predicts_over_tls(cluster, transport):
    addresses = list(cluster.nthreads())
    assert all(address.startswith("tls://") for address in addresses)
    plain = model()
    options = {"transport": transport, "fallback": "raise"}
    check(fk.distribute(plain, cluster, **options), plain, transport)


def test_the_example_of_the_page_on_security(
    documentation, cluster, files, tmp_path, monkeypatch
):
    names = {"ca-file": "ca.pem", "cert": "laptop.pem", "key": "laptop-key.pem"}
    for what, name in names.items():
        shutil.copy(files[what], tmp_path / name)
    monkeypatch.chdir(tmp_path)
    example = documentation.block("docs/security.md", "tls")
    address, plain = "tls://192.168.1.10:8786", model()
    scope = {"fk": fk, "model": plain}
    assert address in example
    exec(example.replace(address, cluster.scheduler.address), scope)
    check(scope["coded"], plain, "direct")
    scope["client"].close()


def test_an_address_with_the_certificates_of_dasks_configuration(cluster, files):
    import dask

    given = {
        "distributed.comm.tls.ca-file": files["ca-file"],
        "distributed.comm.tls.client.cert": files["cert"],
        "distributed.comm.tls.client.key": files["key"],
    }
    address, plain = cluster.scheduler.address, model()
    with dask.config.set(given):
        coded = fk.distribute(plain, address, fallback="raise")
    check(coded, plain, "direct")


def test_an_address_without_certificates_is_refused(cluster):
    with pytest.raises(fk.ClusterError, match=r"Received: cluster='tls://.*Security"):
        fk.distribute(model(), cluster.scheduler.address)


def test_a_worker_comes_without_the_certificate(cluster, files, tmp_path):
    address, others = cluster.scheduler.address, write(tmp_path, "others")
    before = set(cluster.nthreads())
    attempts = [
        start(address, errors=subprocess.PIPE),
        start(address.replace("tls://", "tcp://"), errors=subprocess.PIPE),
        # It does not wait for others to be believed.
        start(address, others, errors=subprocess.PIPE, wait=1e6),
    ]
    for process, must in zip(
        attempts, ("A", "A", "Scheduler and workers"), strict=True
    ):
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        error = f"Error on {socket.gethostname()}: {must}"
        assert said.splitlines()[-1].startswith(error)
    # Scheduler and workers refuse by themselves, whatever the other side checks.
    for place in (address, *before):
        assert asyncio.run(_ask(place, _careless(files)))["type"]
        with pytest.raises(OSError, match=r"(?i)closed|timed out|alert"):
            asyncio.run(_ask(place, _careless(others)))
    assert set(cluster.nthreads()) == before


def _careless(files):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(files["cert"], files["key"])
    return context


async def _ask(address, context):
    comm = await connect(address, timeout=3, ssl_context=context)
    try:
        return await asyncio.wait_for(send_recv(comm, op="identity"), 3)
    finally:
        comm.abort()
