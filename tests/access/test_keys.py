"""Keys: made once, kept as a digest, revoked for good."""

import hashlib
import re
from datetime import timedelta

import pytest

from service.access import repository, service
from service.access.orm import ApiKey
from service.access.scopes import Scope, covering
from service.access.service import NewKey, state_of
from service.db import Database, now
from service.exceptions import InvalidRequest, KeyNotFound


def made(database: Database, **changes: object) -> tuple[ApiKey, str]:
    wanted = {"name": "ci", "owner": "ann", "scopes": [Scope.WRITE], **changes}
    with database.write() as session:
        return service.create(session, NewKey(**wanted))  # type: ignore[arg-type]


def found(database: Database, secret: str) -> ApiKey | None:
    with database.read() as session:
        return repository.find_by_digest(session, service.digest_of(secret.encode()))


def test_a_secret_has_256_random_bits_and_is_not_kept(database: Database) -> None:
    secrets = {made(database)[1] for _ in range(50)}
    assert len(secrets) == 50
    # 43 characters of 6 bits hold 256.
    assert all(re.fullmatch(r"fitd_[A-Za-z0-9_-]{43}", secret) for secret in secrets)
    with database.engine.connect() as connection:
        kept = str(connection.exec_driver_sql("SELECT * FROM api_keys").all())
    for secret in secrets:
        assert secret not in kept
        assert secret.removeprefix("fitd_") not in kept
        assert hashlib.sha256(secret.encode()).hexdigest() in kept


def test_a_key_is_found_by_its_secret_alone(database: Database) -> None:
    key, secret = made(database)
    mine = found(database, secret)
    assert mine is not None
    assert (mine.id, mine.owner, mine.scopes) == (key.id, "ann", "write")
    assert found(database, secret[:-1]) is None
    assert found(database, secret.swapcase()) is None
    assert found(database, key.digest) is None


def test_the_lookup_goes_through_an_index(database: Database) -> None:
    if database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL reads a table of no rows without any index")
    with database.engine.connect() as connection:
        plan = str(
            connection.exec_driver_sql("EXPLAIN QUERY PLAN SELECT * FROM api_keys WHERE digest = 'x'").all()
        )
    assert "SEARCH api_keys USING INDEX" in plan


def test_a_revoked_key_stays_revoked_since_the_first_time(database: Database) -> None:
    key, secret = made(database)
    assert state_of(key) == "active"
    with database.write() as session:
        first = service.revoke(session, key.id).revoked_at
    with database.write() as session:
        assert service.revoke(session, key.id).revoked_at == first
    again = found(database, secret)
    assert again is not None
    assert state_of(again) == "revoked"


def test_a_key_that_is_not_there_cannot_be_revoked(database: Database) -> None:
    with pytest.raises(KeyNotFound), database.write() as session:
        service.revoke(session, "key_nothing")


def test_a_key_expires_on_its_day(database: Database) -> None:
    key, _ = made(database, expires_in_days=1)
    assert state_of(key) == "active"
    assert key.expires_at is not None
    key.expires_at -= timedelta(days=1, seconds=1)
    assert state_of(key) == "expired"


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"owner": ""}, "owner"),
        ({"owner": "../x"}, "owner"),
        ({"owner": "a b"}, "owner"),
        ({"owner": "a\n"}, "owner"),
        ({"owner": "x" * 65}, "owner"),
        ({"scopes": []}, "scopes"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"expires_in_days": -1}, "expires_in_days"),
        ({"expires_in_days": float("nan")}, "expires_in_days"),
        ({"expires_in_days": 1e9}, "expires_in_days"),
        ({"max_unfinished_jobs": 0}, "max_unfinished_jobs"),
        ({"requests_per_minute": -5}, "requests_per_minute"),
        ({"requests_per_minute": 2**31}, "requests_per_minute"),
    ],
    ids=str,
)
def test_a_key_that_makes_no_sense_is_refused(
    database: Database, changes: dict[str, object], parameter: str
) -> None:
    with pytest.raises(InvalidRequest) as error:
        made(database, **changes)
    assert [one.parameter for one in error.value.problems] == [parameter]


def test_a_use_is_noted_once_a_minute(database: Database) -> None:
    key, secret = made(database)
    at, minute = now(), timedelta(minutes=1)

    def noted(moment: timedelta) -> timedelta:
        with database.write() as session:
            repository.touch(session, key.id, at + moment, unless_within=minute)
        mine = found(database, secret)
        assert mine is not None
        assert mine.last_used_at is not None
        return mine.last_used_at - at

    assert noted(timedelta(0)) == timedelta(0)
    assert noted(timedelta(seconds=59)) == timedelta(0)
    assert noted(timedelta(seconds=61)) == timedelta(seconds=61)


def test_scopes_include_the_smaller_ones() -> None:
    assert covering([Scope.READ]) == {Scope.READ}
    assert covering([Scope.WRITE]) == {Scope.READ, Scope.WRITE}
    assert covering([Scope.READ, Scope.ADMIN]) == set(Scope)
