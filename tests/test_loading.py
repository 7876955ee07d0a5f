"""The garbage collector stays away while modules are loaded, and from what they made."""

import gc

import pytest

from service.loading import without_collection


def test_it_is_off_for_the_block_and_passes_over_what_was_made_in_it() -> None:
    frozen = gc.get_freeze_count()
    with without_collection():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]  # type: ignore[var-annotated]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(made)
    gc.unfreeze()


def test_an_import_that_fails_and_a_block_in_a_block_leave_it_as_it_was() -> None:
    with pytest.raises(ImportError), without_collection():
        raise ImportError
    assert gc.isenabled()
    with without_collection():
        with without_collection():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.unfreeze()
