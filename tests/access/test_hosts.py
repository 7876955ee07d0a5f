"""Host and Origin headers, read as browsers and proxies write them."""

import pytest

from service.api.hosts import Authority, allowed_host, authority_of, same_place
from service.settings import Settings

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens here


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("127.0.0.1:8000", Authority("127.0.0.1", 8000)),
        ("LocalHost", Authority("localhost", None)),
        ("localhost.:80", Authority("localhost", 80)),
        ("localhost:", Authority("localhost", None)),
        ("[::1]:8000", Authority("::1", 8000)),
        ("[0:0::0001]", Authority("::1", None)),
        ("FITD.Example.org", Authority("fitd.example.org", None)),
        ("", None),
        (".", None),
        ("::1", None),
        ("[::1", None),
        ("[::g]", None),
        ("[localhost]", None),
        ("a:b", None),
        ("a:1:2", None),
        ("a b", None),
        ("a/b", None),
        ("user@localhost", None),
        ("localhost:8000 ", None),
        ("localhost,evil.example", None),
        ("localhost\n", None),
        ("loc\u00e4lhost", None),
    ],
)
def test_an_authority_is_read_in_one_way_or_not_at_all(text: str, authority: Authority | None) -> None:
    assert authority_of(text) == authority


LOOPBACK = [
    "127.0.0.1",
    "127.0.0.1:8000",
    "localhost:1",
    "LOCALHOST",
    "localhost.",
    "[::1]:8000",
    "127.9.9.9",
]
WRONG = [
    "evil.example",
    "evil.example:8000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "2130706433",
    "0x7f.1",
    "",
]


def passes(settings: Settings, host: str) -> bool:
    return allowed_host(settings)(host.encode())


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_names_always_pass(host: str) -> None:
    for settings in (Settings(), Settings(host=EVERYWHERE), Settings(allowed_hosts="a.example")):
        assert passes(settings, host)


@pytest.mark.parametrize("host", [*WRONG, "192.168.0.7"])
def test_other_names_do_not(host: str) -> None:
    assert not passes(Settings(), host)
    assert not passes(Settings(allowed_hosts="a.example"), host)


def test_the_address_that_is_listened_on_passes() -> None:
    assert passes(Settings(host="192.168.0.7"), "192.168.0.7:8000")
    assert not passes(Settings(host="192.168.0.7"), "192.168.0.8:8000")
    assert passes(Settings(host="fd00::7"), "[FD00:0::7]:8000")
    assert passes(Settings(host="Fitd.lan"), "fitd.lan:8000")


@pytest.mark.parametrize("listening", [EVERYWHERE, "::"])
def test_a_service_that_listens_everywhere_takes_addresses_but_no_names(listening: str) -> None:
    settings = Settings(host=listening)
    assert passes(settings, "192.168.0.7:8000")
    assert passes(settings, "[fd00::7]:8000")
    assert not any(passes(settings, host) for host in WRONG)


def test_names_are_added_and_a_port_with_a_name_must_be_met() -> None:
    settings = Settings(allowed_hosts="fitd.example.org, other.example:9000")
    assert passes(settings, "FITD.example.org.:1234")
    assert passes(settings, "other.example:9000")
    assert not passes(settings, "other.example:9001")
    assert not passes(settings, "sub.fitd.example.org")


def test_a_star_switches_the_check_off() -> None:
    assert all(passes(Settings(allowed_hosts="*"), host) for host in WRONG)


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("http://LOCALHOST:8000", "localhost.:8000", True),
        ("http://[::1]:8000", "[0::1]:8000", True),
        # Behind a proxy with TLS the host has no port, or that of TLS.
        ("https://fitd.example.org", "fitd.example.org", True),
        ("https://fitd.example.org", "fitd.example.org:443", True),
        ("https://fitd.example.org:443", "fitd.example.org", True),
        ("https://fitd.example.org:8443", "fitd.example.org", False),
        ("http://127.0.0.1:3000", "127.0.0.1:8000", False),
        ("http://127.0.0.1", "127.0.0.1:8000", False),
        ("http://localhost:8000", "127.0.0.1:8000", False),
        ("http://evil.example", "127.0.0.1:8000", False),
        ("http://127.0.0.1:8000.evil.example", "127.0.0.1:8000", False),
        ("http://127.0.0.1:8000@evil.example", "127.0.0.1:8000", False),
        ("null", "127.0.0.1:8000", False),
        ("file://", "127.0.0.1:8000", False),
        ("chrome-extension://127.0.0.1:8000", "127.0.0.1:8000", False),
        ("", "", False),
    ],
)
def test_an_origin_is_the_service_or_it_is_not(origin: str, host: str, same: bool) -> None:  # noqa: FBT001
    assert same_place(origin.encode(), host.encode()) is same


@pytest.mark.parametrize(
    "origin", ["*", "https://*", "app.example.org", "https://a.example/x", "null", "ftp://a.example"]
)
def test_an_origin_to_allow_must_be_one(origin: str) -> None:
    with pytest.raises(ValueError, match="no origin"):
        Settings(allowed_origins=origin)
