"""Which datasets may go."""

from service.retention.policy import Candidate, unused

DAY = 86400.0
AT = 1000 * DAY


def candidate(seq: int, *, idle_days: float | None, size: int = 10, digest: str = "") -> Candidate:
    last_use = None if idle_days is None else AT - idle_days * DAY
    return Candidate(seq, digest or str(seq), size, last_use)


def chosen(*candidates: Candidate, days: float = 0, size: int = 0) -> list[int]:
    return unused(candidates, at=AT, max_idle=days * DAY, max_bytes=size)


def test_nothing_goes_without_a_rule() -> None:
    assert chosen(candidate(1, idle_days=900)) == []


def test_what_was_idle_for_too_long_goes() -> None:
    assert chosen(
        candidate(1, idle_days=9), candidate(2, idle_days=11), candidate(3, idle_days=None), days=10
    ) == [2]


def test_the_longest_unused_go_until_the_rest_fits() -> None:
    candidates = [candidate(1, idle_days=5), candidate(2, idle_days=7), candidate(3, idle_days=6)]
    assert chosen(*candidates, size=30) == []
    assert chosen(*candidates, size=29) == [2]
    assert chosen(*candidates, size=15) == [2, 3]
    assert chosen(*candidates, size=1) == [2, 3, 1]


def test_what_is_needed_or_was_used_just_now_stays_though_there_is_no_room() -> None:
    candidates = [candidate(1, idle_days=None), candidate(2, idle_days=0.01), candidate(3, idle_days=1)]
    assert chosen(*candidates, size=1) == [3]


def test_what_goes_by_age_makes_room() -> None:
    assert chosen(candidate(1, idle_days=20), candidate(2, idle_days=5), days=10, size=10) == [1]


def test_shared_files_count_once_and_go_with_all_their_rows() -> None:
    shared = [candidate(1, idle_days=9, digest="a"), candidate(2, idle_days=5, digest="a")]
    assert chosen(*shared, size=10) == []
    assert chosen(*shared, candidate(3, idle_days=7), size=10) == [
        3
    ]  # The other was used later, by somebody.
    assert chosen(*shared, candidate(3, idle_days=4), size=10) == [1, 2]
    assert chosen(*shared, candidate(3, idle_days=None, digest="a"), size=1) == []
