"""Whom we trust, when the file that says so is renewed."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from appconnectivity.cluster.authorities import read_again, renewing
from cluster.pki import Authority


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Names one CA."""
    return Authority(tmp_path).file


@pytest.fixture
def context(file: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(file))


def renew(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    file.write_text(Authority(tmp_path / "other").file.read_text())


def trusted(context: ssl.SSLContext) -> int:
    return context.cert_store_stats()["x509_ca"]


def test_another_ca_is_trusted_too(context: ssl.SSLContext, file: Path, tmp_path: Path) -> None:
    read_again(context, str(file))
    assert trusted(context) == 1
    renew(file, tmp_path)
    read_again(context, str(file))

    assert trusted(context) == 2


@pytest.mark.parametrize("text", [None, "", "-----BEGIN CERTIFICATE-----\nMIIB"], ids=["gone", "empty", "half-written"])
def test_a_file_that_cant_be_read_is_told_of_and_changes_nothing(
    context: ssl.SSLContext, file: Path, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    file.unlink()
    if text is not None:
        file.write_text(text)
    with caplog.at_level(logging.WARNING):
        read_again(context, str(file))

    assert "could not be read again" in caplog.text
    assert trusted(context) == 1


def test_who_names_no_file_trusts_as_before(context: ssl.SSLContext) -> None:
    read_again(context, None)

    assert trusted(context) == 1


async def test_the_error_goes_on_to_whoever_asked(context: ssl.SSLContext, file: Path, tmp_path: Path) -> None:
    refusal = aiohttp.ClientConnectorCertificateError(cast("Any", None), ssl.SSLCertVerificationError())

    async def refuse(_: object) -> aiohttp.ClientResponse:
        raise refusal

    renew(file, tmp_path)
    with pytest.raises(aiohttp.ClientConnectorCertificateError) as raised:
        await renewing(context, str(file))(cast("aiohttp.ClientRequest", None), refuse)

    assert raised.value is refusal
    assert trusted(context) == 2
