"""The law of delivery: any order, any repetition, one result."""

from functools import reduce
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from twinline.rules.delivery import Delivery, join

reports = st.lists(st.sampled_from(list(Delivery)), min_size=1)


@given(reports, st.randoms(use_true_random=False))
def test_reports_merge_to_one_rung_in_any_order_and_number(seen: list[Delivery], random: Random) -> None:
    again = seen + random.choices(seen, k=len(seen))
    random.shuffle(again)
    assert reduce(join, again) is reduce(join, seen)
