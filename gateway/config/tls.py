"""TLS to an upstream: the CAs that are trusted and the client certificate, from the files that the config names."""

from __future__ import annotations

import ssl

from breakeven.gateway.config.outbound import Outbound
from breakeven.gateway.config.proxies import Proxy


def tls_context(section: Outbound) -> ssl.SSLContext | None:
    """The TLS settings of an upstream, None for an http:// one. Certificate and host name are always verified.

    Raises ValueError that begins with the key of the config, for a file that cannot be used.
    """
    if not section.base_url.startswith("https://"):
        return None
    context = _trusting(section)
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
    try:
        return ssl.create_default_context(cafile=section.ca_file)
    except OSError as error:
        raise ValueError(f"ca_file: {_fault(error)}; give a PEM file of CA certificates") from None


def _fault(error: OSError) -> str:
    """What is wrong with a file, in words; OpenSSL's reasons do not name it."""
    if isinstance(error, ssl.SSLError):
        return f"cannot be used ({(error.reason or 'not PEM').lower().replace('_', ' ')})"
    return f"cannot be read ({error.strerror})"
