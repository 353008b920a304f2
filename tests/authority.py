"""A certificate authority of the tests, and the files that it makes."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import trustme
from attrs import define, field

from node.sections import SecurityConfig
from node.tls import TlsFiles

LONG_AGO: Final = datetime(2001, 1, 1, tzinfo=UTC)


@define
class Authority:
    """Signs certificates into ``directory``."""

    directory: Path
    _ca: trustme.CA = field(factory=trustme.CA)

    def __attrs_post_init__(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self._ca.cert_pem.write_to_path(self.directory / "ca.pem")

    def replace(self) -> None:
        """Sign with another key from now on; both are trusted until ``drop_old``."""
        self._ca = trustme.CA()
        with (self.directory / "ca.pem").open("ab") as trusted:
            trusted.write(self._ca.cert_pem.bytes())

    def drop_old(self) -> None:
        """Trust only the key that signs now."""
        self._ca.cert_pem.write_to_path(self.directory / "ca.pem")

    def sign(self, name: str, *, file: str = "", not_after: datetime | None = None) -> TlsFiles:
        """Make a certificate for ``name``, in files called ``file`` or as the name."""
        signed = self._ca.issue_cert(name, not_after=not_after)
        certificate, key = (self.directory / f"{file or name}.{kind}" for kind in ("pem", "key"))
        certificate.write_bytes(b"".join(blob.bytes() for blob in signed.cert_chain_pems))
        signed.private_key_pem.write_to_path(key)
        return TlsFiles(str(certificate), str(key), str(self.directory / "ca.pem"))

    @property
    def security(self) -> SecurityConfig:
        """What nodes are told whose certificates are called as they are; without a secret."""
        return SecurityConfig(
            tls_certificate=f"{self.directory}/{{name}}.pem",
            tls_key=f"{self.directory}/{{name}}.key",
            tls_ca=f"{self.directory}/ca.pem",
        )
