"""TLS as the links speak it (docs/PROTOCOL.md), with OpenSSL's own words for it: 1.3, keys that sign their own certificates.

    Identity     a key made in memory, or read from a state directory, and what others know it by
    TlsEnd       an End whose bytes go through TLS; `opened` when the handshake is done
    dial_link    an End that connects to sproxy, over TLS or in the clear, as the world is
"""

import base64
import datetime
import functools
import hashlib
import os
import sys

from flows import End, dial
from harness import FLAGS

SYSTEM_PYTHON = "/usr/bin/python3"
try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.x509.oid import NameOID
    from OpenSSL import SSL, crypto
except ModuleNotFoundError:
    # Debian's python3-openssl is there for Debian's Python only, and another one may stand before it in PATH.
    if os.path.realpath(sys.executable) == os.path.realpath(SYSTEM_PYTHON) or not os.path.exists(SYSTEM_PYTHON):
        raise
    os.execv(SYSTEM_PYTHON, [SYSTEM_PYTHON, "-B", *sys.argv, *FLAGS])

ALPN = b"holdfast/1"
EXPORTER = b"EXPORTER-Channel-Binding"  # RFC 9266


class Identity:
    def __init__(self, path=None):
        key = serialization.load_pem_private_key(path.read_bytes(), None) if path else ed25519.Ed25519PrivateKey.generate()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anybody")])
        certificate = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(
            x509.random_serial_number()).not_valid_before(datetime.datetime(2000, 1, 1)).not_valid_after(
            datetime.datetime(2049, 12, 31)).sign(key, None)
        public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.digest = hashlib.sha256(public).digest()
        self.fingerprint = "SHA256:" + base64.b64encode(self.digest).decode().rstrip("=")
        self.certificate = crypto.X509.from_cryptography(certificate)
        self.key = crypto.load_privatekey(crypto.FILETYPE_PEM, key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    def write(self, key, certificate):
        """Into two files, as other programs want it."""
        key.write_bytes(crypto.dump_privatekey(crypto.FILETYPE_PEM, self.key))
        certificate.write_bytes(crypto.dump_certificate(crypto.FILETYPE_PEM, self.certificate))

    @functools.cached_property
    def context(self):
        """For either role. Trusts anybody: what is tested is whom the proxies trust."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.use_certificate(self.certificate)
        context.use_privatekey(self.key)
        context.set_alpn_protos([ALPN])
        context.set_alpn_select_callback(lambda _, offered: ALPN if ALPN in offered else SSL.NO_OVERLAPPING_PROTOCOLS)
        return context


@functools.lru_cache(maxsize=1)
def somebody():
    """One key for all who do not care which."""
    return Identity()


def client_hello():
    """The first bytes of a client, as they go over the wire."""
    tls = SSL.Connection(somebody().context, None)
    tls.set_connect_state()
    try:
        tls.do_handshake()
    except SSL.WantReadError:
        pass
    return tls.bio_read(65536)


class TlsEnd(End):
    def __init__(self, world, sock, name="", identity=None, server=False):
        self._tls = SSL.Connection((identity or somebody()).context, None)  # in memory: the socket is End's business
        self._plain = b""        # to be sent when the handshake is done
        self.opened = False      # the handshake is done
        self.binding = None      # what only the two ends of this connection know
        self.alert = None        # why TLS failed, in OpenSSL's words
        self._tls.set_accept_state() if server else self._tls.set_connect_state()
        super().__init__(world, sock, name)
        self._go_on()

    def write(self, data):
        self._plain += data
        self._go_on()

    def sent_all(self):
        return not self._plain and super().sent_all()

    def _arrived(self, data):
        self._tls.bio_write(data)
        self._go_on()

    def _go_on(self):
        """Whatever TLS can do now."""
        if self.alert:
            return
        try:
            if not self.opened:
                self._tls.do_handshake()
                self.opened = True
                self.binding = self._tls.export_keying_material(EXPORTER, 32)
            if self._plain:
                self._tls.sendall(self._plain)
                self._plain = b""
            while True:
                super()._arrived(self._tls.recv(65536))
        except (SSL.WantReadError, SSL.ZeroReturnError):
            pass
        except SSL.Error as error:
            self.alert = " ".join(part for line in error.args[0] for part in line if part) if error.args else repr(error)
        finally:
            self._flush()

    def _flush(self):
        try:
            while True:
                super().write(self._tls.bio_read(65536))
        except SSL.WantReadError:
            pass


def dial_tls(world, space, address, port, name="", identity=None):
    """An End that connects from inside a namespace and speaks TLS."""
    return dial(world, space, address, port, name, end=functools.partial(TlsEnd, identity=identity))


def dial_link(world, space, address, port, name="", identity=None):
    """The same, or in the clear where the world's links are."""
    return (dial if world.insecure else functools.partial(dial_tls, identity=identity))(world, space, address, port, name)
