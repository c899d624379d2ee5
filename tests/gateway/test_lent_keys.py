"""Keys that clients lend are few in memory, however many clients there are."""

from batchata.gateway.lent_keys import LentKeys


def test_the_key_that_was_lent_longest_ago_goes_first() -> None:
    keys = LentKeys(most_owners=2)

    first = [keys.lend("a", {"x-api-key": "1"}), keys.lend("b", {"x-api-key": "2"})]
    again = [keys.lend("a", {"x-api-key": "1"}), keys.lend("c", {"x-api-key": "3"})]

    assert (first, again) == ([True, True], [False, True])
    assert [keys.of(owner) is not None for owner in "abc"] == [True, False, True]
