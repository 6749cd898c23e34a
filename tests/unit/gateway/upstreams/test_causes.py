"""The cause of each kind of error, and what is said about it."""

from __future__ import annotations

import errno
import resource
import socket
import ssl

import pytest

from breakeven.gateway.errors import Cause, UpstreamFailure
from breakeven.gateway.upstreams.causes import ADVICE, connect_cause, lost_cause, status_cause
from breakeven.gateway.upstreams.pool import Unreachable
from breakeven.gateway.upstreams.upstream import translated_errors
from breakeven.router.policy import Route


def unverified(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), (Cause.REFUSED, "")),
        # What a name with several addresses raises, of which one refuses.
        (OSError("Multiple exceptions: [Errno 101] x, [Errno 111] Connect call failed"), (Cause.REFUSED, "")),
        (OSError("Multiple exceptions: [Errno 101] x, [Errno 113] y"), (Cause.UNREACHABLE, "")),
        (OSError(errno.EHOSTUNREACH, "No route to host"), (Cause.UNREACHABLE, "No route to host")),
        (RuntimeError("x"), (Cause.UNREACHABLE, "")),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), (Cause.DNS, "")),
        (UnicodeError("label empty or too long"), (Cause.DNS, "")),
        (TimeoutError(), (Cause.CONNECT_TIMEOUT, "")),
        (ConnectionResetError(), (Cause.RESET, "in the TLS handshake")),
        (unverified(10, "certificate has expired"), (Cause.TLS_EXPIRED, "certificate has expired")),
        (unverified(9, "certificate is not yet valid"), (Cause.TLS_EXPIRED, "certificate is not yet valid")),
        (unverified(62, "Hostname mismatch"), (Cause.TLS_WRONG_NAME, "Hostname mismatch")),
        (unverified(64, "IP address mismatch"), (Cause.TLS_WRONG_NAME, "IP address mismatch")),
        (unverified(18, "self-signed certificate"), (Cause.TLS_UNTRUSTED, "self-signed certificate")),
        (unverified(20, "unable to get local issuer"), (Cause.TLS_UNTRUSTED, "unable to get local issuer")),
        (ssl.SSLError(1, "x"), (Cause.TLS, "")),
    ],
)
def test_errors_of_a_connection_that_is_opened(error: Exception, expected: tuple[Cause, str]) -> None:
    assert connect_cause(error) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [(None, Cause.CLOSED), (ConnectionResetError(), Cause.RESET), (ssl.SSLError(1, "x"), Cause.TLS)],
)
def test_errors_of_a_connection_that_was_open(error: Exception | None, expected: Cause) -> None:
    assert lost_cause(error)[0] is expected


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, None, Cause.KEY_REFUSED), (403, None, Cause.KEY_REFUSED), (402, None, Cause.QUOTA_SPENT),
        (429, "insufficient_quota", Cause.QUOTA_SPENT), (429, "rate_limit_exceeded", Cause.RATE_LIMITED),
        (503, None, Cause.OVERLOADED), (529, None, Cause.OVERLOADED), (500, None, Cause.SERVER_ERROR),
        (504, None, Cause.SERVER_ERROR), (408, None, Cause.SERVER_ERROR), (301, None, Cause.REDIRECT),
        (404, None, Cause.NOT_FOUND), (400, None, Cause.BAD_REQUEST), (422, None, Cause.BAD_REQUEST),
    ],
)  # fmt: skip
def test_statuses(status: int, code: str | None, expected: Cause) -> None:
    assert status_cause(status, code) is expected


def test_every_cause_has_a_meaning_and_a_remedy() -> None:
    assert set(ADVICE) == set(Cause)
    for cause, advice in ADVICE.items():
        assert len(cause) <= 32, "the ledger's column is that long"
        for text in advice:
            assert text
            assert not text.endswith(".")
            assert "|" not in text, "it stands in a table of the documentation"


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EMFILE, "Too many open files"), OSError("[Errno 111] refused; [Errno 23] Too many open files")],
)
def test_no_file_left_is_nothing_against_an_upstream(error: OSError) -> None:
    assert connect_cause(error)[0] is Cause.NO_FILES
    with pytest.raises(UpstreamFailure) as raised, translated_errors(Route.STUDENT, deadline=None):  # type: ignore[arg-type]
        raise Unreachable(*connect_cause(error))
    assert not raised.value.down
    assert (raised.value.status, raised.value.code) == (503, "no_files_left")


def test_a_resolver_without_a_file_is_nothing_against_an_upstream() -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert connect_cause(unknown)[0] is Cause.DNS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # standard input, output and error
    try:
        found = connect_cause(unknown)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found is Cause.NO_FILES
