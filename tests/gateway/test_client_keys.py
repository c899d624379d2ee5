"""Keys of clients are few in memory, however many clients there are."""

from batchata.gateway.client_keys import ClientKeys


def test_the_key_that_was_lent_longest_ago_goes_first() -> None:
    keys = ClientKeys(most_owners=2)

    first = [keys.remember("a", {"x-api-key": "1"}), keys.remember("b", {"x-api-key": "2"})]
    again = [keys.remember("a", {"x-api-key": "1"}), keys.remember("c", {"x-api-key": "3"})]

    assert (first, again) == ([True, True], [False, True])
    assert [keys.of(owner) is not None for owner in "abc"] == [True, False, True]
