"""TLS to an upstream: the CAs that are trusted and the client certificate, from the files that the config names."""

from __future__ import annotations

import ssl
from pathlib import Path

from breakeven.gateway.config.outbound import Outbound
from breakeven.gateway.config.proxies import Proxy
from breakeven.router.files import read_file

_MAX_BYTES = 1 << 24


def tls_context(section: Outbound) -> ssl.SSLContext | None:
    """The TLS settings of an upstream, None for an http:// one. Certificate and host name are always verified.

    Raises ValueError that begins with the key of the config, for a file that cannot be used.
    """
    if not section.base_url.startswith("https://"):
        return None
    context = _trusting(section)
    _check_file("client_cert", section.client_cert, "PEM files of a certificate and its unencrypted key")
    _check_file("client_key", section.client_key, "PEM files of a certificate and its unencrypted key")
    if section.client_cert is not None:
        try:
            # An empty password: OpenSSL would ask for that of an encrypted key on the terminal.
            context.load_cert_chain(section.client_cert, section.client_key, password="")
        except OSError as error:
            raise ValueError(
                f"client_cert: {_fault(error)}; give PEM files of a certificate and its unencrypted key"
            ) from None
    return context


def proxy_tls_context(section: Outbound, proxy: Proxy | None) -> ssl.SSLContext | None:
    """The TLS settings of a proxy with an https:// URL, else None: the same CAs as for the upstream, and no client
    certificate. Raises as `tls_context` does.
    """
    return _trusting(section) if proxy is not None and proxy.url.startswith("https://") else None


def _trusting(section: Outbound) -> ssl.SSLContext:
    _check_file("ca_file", section.ca_file, "a PEM file of CA certificates")
    try:
        return ssl.create_default_context(cafile=section.ca_file)
    except OSError as error:
        raise ValueError(f"ca_file: {_fault(error)}; give a PEM file of CA certificates") from None


def _check_file(key: str, path: str | None, wanted: str) -> None:
    """Raise ValueError that begins with the key where OpenSSL would wait for a pipe, or read a device for ever."""
    try:
        if path is not None:
            read_file(Path(path), _MAX_BYTES)
    except OSError as error:
        raise ValueError(f"{key}: {_fault(error)}; give {wanted}") from None
    except ValueError as error:
        raise ValueError(f"{key}: cannot be used ({error}); give {wanted}") from None


def _fault(error: OSError) -> str:
    """What is wrong with a file, in words; OpenSSL's reasons do not name it."""
    if isinstance(error, ssl.SSLError):
        return f"cannot be used ({(error.reason or 'not PEM').lower().replace('_', ' ')})"
    return f"cannot be read ({error.strerror})"
