"""certificates.sh makes with openssl what certificates.yaml has cert-manager make."""

import base64
from pathlib import Path, PurePosixPath

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.deploy.certificates import made
from tests.deploy.examples import Manifest, documents_of

USAGES = {
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
}
WANTED = {
    one["spec"]["secretName"]: one
    for one in documents_of("certificates.yaml")
    if one["kind"] == "Certificate" and not one["spec"].get("isCA")
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("examples"))


def secrets(folder: Path) -> dict[str, Manifest]:
    documents = yaml.safe_load_all((folder / "secrets.yaml").read_text())
    return {one["metadata"]["name"]: one for one in documents if one}


def file_of(secret: Manifest, key: str) -> bytes:
    return base64.b64decode(secret["data"][key])


def test_the_secrets_are_those_of_cert_manager(folder: Path) -> None:
    assert {name: one["metadata"]["namespace"] for name, one in secrets(folder).items()} == {
        name: one["metadata"]["namespace"] for name, one in WANTED.items()
    }


@pytest.mark.parametrize("name", WANTED)
def test_a_certificate_has_the_names_and_usages_of_cert_managers(folder: Path, name: str) -> None:
    secret, spec = secrets(folder)[name], WANTED[name]["spec"]
    certificate = x509.load_pem_x509_certificate(file_of(secret, "tls.crt"))
    authority = x509.load_pem_x509_certificate(file_of(secret, "ca.crt"))
    key = load_pem_private_key(file_of(secret, "tls.key"), None)

    certificate.verify_directly_issued_by(authority)
    assert key.public_key() == certificate.public_key()
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [USAGES[one] for one in spec["usages"]]
    assert dns_names(certificate) == spec.get("dnsNames", [])


def dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return names.value.get_values_for_type(x509.DNSName)


def test_run_again_it_renews_the_certificates_and_keeps_the_authority(tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in made(tmp_path).glob("*.crt")}
    after = {path.name: path.read_bytes() for path in made(tmp_path).glob("*.crt")}

    assert {name for name in before if before[name] == after[name]} == {"ca.crt"}


def test_keys_are_for_the_owner_alone(folder: Path) -> None:
    assert {path.stat().st_mode & 0o077 for path in folder.iterdir()} == {0}


def test_the_webhooks_authority_goes_where_cert_manager_would_write_it(folder: Path) -> None:
    patched = yaml.safe_load((folder / "webhook-ca.yaml").read_text())["webhooks"]
    webhooks = next(
        one["webhooks"]
        for one in documents_of("claims-webhook.yaml")
        if one["kind"] == "MutatingWebhookConfiguration"
    )

    # A strategic merge finds each webhook by its name.
    assert [one["name"] for one in patched] == [one["name"] for one in webhooks]
    authority = (folder / "ca.crt").read_bytes()
    for one in patched:
        assert base64.b64decode(one["clientConfig"]["caBundle"]) == authority


def test_the_api_server_is_told_to_show_its_certificate_to_the_webhook(folder: Path) -> None:
    (plugin,) = yaml.safe_load((folder / "apiserver" / "admission.yaml").read_text())["plugins"]
    at = PurePosixPath(plugin["configuration"]["kubeConfigFile"])
    (user,) = yaml.safe_load((folder / "apiserver" / at.name).read_text())["users"]
    service = next(one for one in documents_of("claims-webhook.yaml") if one["kind"] == "Service")
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    told = secrets(folder)["foresail-apiserver"]

    assert plugin["name"] == "MutatingAdmissionWebhook"
    # The host of a Service's webhook, without the port as it is 443.
    assert user["name"] == f"{name}.{namespace}.svc"
    for field, key in (("client-certificate", "tls.crt"), ("client-key", "tls.key")):
        assert PurePosixPath(user["user"][field]) == at.parent / key
        assert (folder / "apiserver" / key).read_bytes() == file_of(told, key)


def test_a_certificate_for_the_webhook_has_the_common_name_of_cert_managers(folder: Path) -> None:
    certificate = x509.load_pem_x509_certificate(
        file_of(secrets(folder)["foresail-apiserver"], "tls.crt")
    )
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)

    assert name.value == WANTED["foresail-apiserver"]["spec"]["commonName"]
