"""A Postgres that takes encrypted connections only, with a certificate authority of its own.

The embedded Postgres was built without TLS, so this takes the programs of an installed one.
"""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from include.local.postgres import SUPERUSER, _give_to_server, _server_user
from include.local.state import free_port
from include.warehouse.connection import ConnectionSettings

DEBIAN_PROGRAMS = Path("/usr/lib/postgresql")
PASSWORD = "the superuser of the TLS tests"  # pragma: allowlist secret
# These logins need no password but a certificate that is made out to them; one has none.
CERTIFIED, IMPOSTOR = "certified", "impostor"

ACCESS = f"""
hostssl all {CERTIFIED},{IMPOSTOR} 127.0.0.1/32 cert
hostssl all all 127.0.0.1/32 scram-sha-256
"""


def programs() -> Path:
    """Return the folder of an installed PostgreSQL's programs, or skip the test."""
    candidates = sorted(
        DEBIAN_PROGRAMS.glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True
    )
    if found := shutil.which("pg_ctl"):
        candidates.append(Path(found).resolve().parent)
    for folder in candidates:
        if (folder / "initdb").exists():
            return folder
    pytest.skip("needs an installed PostgreSQL, 15 or newer (Debian: apt install postgresql)")


class Authority:
    """A certificate authority that lives as long as the test."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(
            self._name, self._key, x509.BasicConstraints(ca=True, path_length=0)
        )

    def issue(
        self, folder: Path, common_name: str, *alternatives: x509.GeneralName, days: int = 1
    ) -> tuple[Path, Path]:
        """Write a certificate and its key; returns their paths. Negative days: it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        certificate = self._sign(
            name,
            key,
            x509.BasicConstraints(ca=False, path_length=None),
            *([x509.SubjectAlternativeName(alternatives)] if alternatives else []),
            days=days,
        )
        folder.mkdir(exist_ok=True)
        paths = folder / "certificate.pem", folder / "key.pem"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].touch(mode=0o600)
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths

    def write(self, path: Path) -> Path:
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *extensions: x509.ExtensionType,
        days: int = 1,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=10))
            .not_valid_after(now + datetime.timedelta(days=days))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, hashes.SHA256())


@dataclass(frozen=True)
class TlsServer:
    """How to reach the server, and the files that this takes."""

    admin: ConnectionSettings
    """Everything right: encrypted, and the server's certificate verified in full."""
    certified: ConnectionSettings
    """The same, with a client certificate instead of a password."""
    authority: Authority


@contextmanager
def tls_server(server_folder: Callable[[], Path], files: Path) -> Iterator[TlsServer]:
    """Start the server, with its own files where it can read them; `files` are the client's."""
    folder = server_folder()
    authority = Authority("the authority of the tests")
    certificate, key = authority.issue(
        folder / "server", "warehouse.internal", x509.DNSName("localhost")
    )
    (folder / "access.conf").write_text(ACCESS)
    password = folder / "password"
    password.write_text(PASSWORD)
    data = folder / "data"
    data.mkdir(mode=0o700)
    for path in (folder / "server", certificate, key, folder / "access.conf", password, data):
        _give_to_server(path)
    root = authority.write(folder / "root.pem")
    _run("initdb", f"--pgdata={data}", f"--username={SUPERUSER}", f"--pwfile={password}",
         "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")  # fmt: skip
    port = free_port(0)
    options = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "hba_file": folder / "access.conf",
        "ssl": "on",
        "ssl_cert_file": certificate,
        "ssl_key_file": key,
        "ssl_ca_file": root,
    }
    settings = " ".join(f"-c {name}='{value}'" for name, value in options.items())
    _run("pg_ctl", "start", "-D", str(data), "-l", str(data / "log"), "-w", "-o",
         f"{settings} -p {port}")  # fmt: skip
    try:
        admin = ConnectionSettings(
            host="localhost",
            port=port,
            dbname="postgres",
            user=SUPERUSER,
            password=SecretStr(PASSWORD),
            sslmode="verify-full",
            sslrootcert=str(authority.write(files / "ca.pem")),
        )
        client, client_key = authority.issue(files / "client", CERTIFIED)
        yield TlsServer(
            admin,
            admin.model_copy(
                update={
                    "user": CERTIFIED,
                    "password": SecretStr(""),
                    "sslcert": str(client),
                    "sslkey": str(client_key),
                }
            ),
            authority,
        )
    finally:
        _run("pg_ctl", "stop", "-D", str(data), "-m", "fast", "-w")


def _run(program: str, *arguments: str) -> None:
    # As in include.local.postgres: the server inherits the output, and Postgres refuses root.
    done = subprocess.run(
        [programs() / program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C"},
        check=False,
        **_server_user(),
    )
    assert done.returncode == 0, f"{program} ended with exit code {done.returncode}"
