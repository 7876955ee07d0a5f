"""The settings have safe defaults and come from named variables."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.settings import Settings, is_loopback


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.upper().startswith("FITD_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_a_loopback_address_is_known_as_one(host: str) -> None:
    assert is_loopback(host)


EVERYWHERE = "0.0.0.0"  # noqa: S104 - the address that is to be refused


@pytest.mark.parametrize(
    "host", [EVERYWHERE, "::", "192.168.0.7", "fitd.example.org", "localhost.example.org", ""]
)
def test_any_other_address_is_not(host: str) -> None:
    assert not is_loopback(host)


def test_an_empty_key_is_none() -> None:
    assert Settings().admin_secret is None
    assert Settings(api_key="").admin_secret is None
    assert Settings(api_key="sécret").admin_secret == "sécret".encode()


def test_what_hosts_share_is_in_the_data_folder_unless_said_otherwise(tmp_path: Path) -> None:
    alone, shared = Settings(data_dir=tmp_path), Settings(data_dir=tmp_path, storage_dir=tmp_path / "all")
    assert (alone.datasets_dir, alone.checkpoints_dir) == (tmp_path / "datasets", tmp_path / "checkpoints")
    assert {shared.datasets_dir.parent, shared.checkpoints_dir.parent} == {tmp_path / "all"}
    assert shared.doorbell_dir.parent == tmp_path


def test_the_password_of_the_database_is_not_shown() -> None:
    assert "secret" not in repr(Settings(database_url="postgresql://fitd:secret@host/fitd"))


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(Settings(api_key="secret"))
    assert "secret" not in Settings(api_key="secret").model_dump_json()


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("FITD_DATA_DIR", "/srv/fitd", "data_dir", Path("/srv/fitd")),
        ("FITD_DATABASE_URL", "sqlite:///x.db", "database_url", "sqlite:///x.db"),
        ("FITD_STORAGE_DIR", "/mnt/fitd", "storage_dir", Path("/mnt/fitd")),
        ("FITD_STORAGE_DIR", "", "storage_dir", None),
        ("FITD_HOST", "::1", "host", "::1"),
        ("FITD_PORT", "9000", "port", 9000),
        ("FITD_SLOTS", "3", "slots", 3),
        ("FITD_THREADS", "2", "threads", 2),
        ("FITD_POLL_SECONDS", "0.1", "poll_seconds", 0.1),
        ("FITD_LEASE_SECONDS", "5", "lease_seconds", 5.0),
        ("FITD_CANCEL_SECONDS", "1", "cancel_seconds", 1.0),
        ("FITD_MAX_CRASHES", "1", "max_crashes", 1),
        ("FITD_PREDICTOR_CACHE", "2", "predictor_cache", 2),
        ("FITD_ALLOWED_HOSTS", "a.example, b.example:80", "allowed_hosts", ("a.example", "b.example:80")),
        ("FITD_ALLOWED_ORIGINS", "https://a.example", "allowed_origins", ("https://a.example",)),
        ("FITD_REQUESTS_PER_MINUTE", "60", "requests_per_minute", 60),
        ("FITD_LOG_FORMAT", "json", "log_format", "json"),
        ("FITD_LOG_LEVEL", "debug", "log_level", "debug"),
    ],
)
def test_each_setting_comes_from_its_variable(
    variable: str, text: str, field: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(Settings(), field) == value


def test_the_key_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FITD_API_KEY", "secret")
    key = Settings(host=EVERYWHERE).api_key
    assert key is not None
    assert key.get_secret_value() == "secret"


def test_one_limit_is_set_without_touching_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FITD_LIMITS__MAX_ROWS", "10")
    limits = Settings().limits
    assert limits.max_rows == 10
    assert limits.max_epochs == 1_000_000


def test_an_argument_wins_over_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FITD_PORT", "9000")
    assert Settings(port=9001).port == 9001


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": -1},
        {"port": 65536},
        {"slots": 0},
        {"slots": 257},
        {"threads": 0},
        {"poll_seconds": 0},
        {"lease_seconds": -1},
        {"cancel_seconds": 0},
        {"max_crashes": 0},
        {"predictor_cache": 0},
        {"requests_per_minute": -1},
        {"allowed_origins": "*"},
        {"limits": {"max_queued_jobs": 0}},
        {"log_format": "xml"},
        {"log_level": "loud"},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)


def test_the_database_is_in_the_data_folder_unless_said_otherwise(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).effective_database_url == f"sqlite:///{tmp_path / 'fitd.db'}"
    assert Settings(database_url="sqlite:///other.db").effective_database_url == "sqlite:///other.db"
    assert Settings(data_dir=tmp_path).doorbell_dir.parent == tmp_path


def test_what_hosts_share_is_in_the_storage_folder_and_all_else_stays_local(tmp_path: Path) -> None:
    alone = Settings(data_dir=tmp_path)
    assert alone.datasets_dir.parent == alone.checkpoints_dir.parent == tmp_path
    shared = Settings(data_dir=tmp_path / "own", storage_dir=tmp_path / "shared")
    assert shared.datasets_dir.parent == shared.checkpoints_dir.parent == tmp_path / "shared"
    local = [
        shared.doorbell_dir,
        shared.workers_dir,
        Path(shared.effective_database_url.removeprefix("sqlite:///")),
    ]
    assert [one.parent for one in local] == [tmp_path / "own"] * 3


def test_a_setting_cannot_be_changed_while_running() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())
