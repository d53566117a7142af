"""Which step leads where, what becomes of whom, and when a campaign stops itself."""

import pytest

from twinline.rules import campaigns
from twinline.rules.campaigns import OVER, PEOPLES, STEPS, Limits, Recipient, State, Step, Tally
from twinline.rules.delivery import Delivery


def test_nothing_is_sent_that_wasnt_planned() -> None:
    """Whatever way leads to running or scheduled goes through planned, and a changed draft has to be planned anew."""
    before = {state for step in (Step.START, Step.SCHEDULE) for state in STEPS[step]}
    assert before == {State.PLANNED, State.SCHEDULED}
    assert {STEPS[Step.EDIT][state] for state in STEPS[Step.EDIT]} == {State.DRAFT}
    assert State.DRAFT not in STEPS[Step.TRY]


def test_what_is_over_stays_over_and_everything_else_can_be_cancelled() -> None:
    for states in STEPS.values():
        assert not OVER & set(states)
    assert set(STEPS[Step.CANCEL]) == set(State) - OVER


def test_what_stopped_itself_goes_on_only_by_a_person() -> None:
    ways = {step for step, states in STEPS.items() if State.STOPPED in states}
    assert ways == {Step.RESUME, Step.CANCEL}
    assert ways <= PEOPLES


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("step", sorted(PEOPLES))
def test_every_step_is_possible_or_refused_in_words(state: State, step: Step) -> None:
    if step in campaigns.possible(state):
        assert campaigns.after(state, step) is not None
    else:
        refusal = campaigns.refusal(state, step)
        assert refusal.rule == f"campaign.{state}"
        assert refusal.text.startswith("This campaign can't be ")
        assert refusal.what_to_do


@pytest.mark.parametrize(
    ("outbox", "delivery", "replied", "became"),
    [
        ("queued", Delivery.NONE, False, Recipient.QUEUED),
        ("in_doubt", Delivery.NONE, False, Recipient.IN_DOUBT),
        ("sent", Delivery.ACCEPTED, False, Recipient.SENT),
        ("sent", Delivery.SENT, False, Recipient.SENT),
        ("sent", Delivery.DELIVERED, False, Recipient.DELIVERED),
        ("sent", Delivery.PLAYED, False, Recipient.READ),
        ("sent", Delivery.FAILED, False, Recipient.FAILED),
        ("sent", Delivery.FAILED, True, Recipient.FAILED),
        ("sent", Delivery.ACCEPTED, True, Recipient.REPLIED),
        ("failed", Delivery.NONE, True, Recipient.FAILED),
    ],
)
def test_a_persons_state_follows_from_what_is_known(
    outbox: str, delivery: Delivery, replied: bool, became: Recipient
) -> None:
    assert campaigns.recipient_state(outbox, delivery, replied=replied) is became


def test_a_limit_is_crossed_by_a_share_of_enough_people() -> None:
    limits = Limits(failed=0.1, blocked=0.02, opted_out=0.03, after=50)
    assert campaigns.crossed(limits, Tally(sent=49, failed=49, blocked=0, opted_out=0)) is None, "too few to tell"
    assert campaigns.crossed(limits, Tally(sent=50, failed=5, blocked=1, opted_out=1)) is None, "as many as it may be"
    crossed = campaigns.crossed(limits, Tally(sent=50, failed=6, blocked=0, opted_out=0))
    assert crossed is not None
    assert crossed.rule == "limit.failed"
    assert crossed.text == "12.0 % of the messages couldn't be delivered (6 of 50); this campaign stops at 10 %."
    off = Limits(failed=0, blocked=0, opted_out=0)
    assert campaigns.crossed(off, Tally(sent=100, failed=100, blocked=100, opted_out=100)) is None


@pytest.mark.parametrize(
    "wrong",
    [{"fail": 0.1}, {"failed": 2}, {"failed": -1}, {"failed": True}, {"failed": "5 %"}, {"after": 0}, {"after": 1.5}],
)
def test_a_limit_that_cant_be_is_told_in_words(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="limit"):
        campaigns.limits_of(wrong)


def test_limits_that_arent_given_are_the_usual_ones() -> None:
    assert campaigns.limits_of({"failed": 0.5}) == Limits(failed=0.5)
