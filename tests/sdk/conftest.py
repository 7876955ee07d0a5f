"""A client of the service that all tests share."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from fitd_client import Client

from tests.conftest import Service
from tests.sdk.cutting import CuttingRelay


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


@pytest.fixture
def relay(service: Service) -> Iterator[CuttingRelay]:
    """Stands before the service, and cuts what it is told to."""
    with CuttingRelay(urlsplit(service.url).port or 0) as relay:
        yield relay
