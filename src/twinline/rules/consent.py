"""May this person be sent marketing? What they, the business and Meta said, and what comes of it.

Whoever spoke against it is heard first: Meta's own switch (`user_preferences`, 131050) and the business's suppression
list bind whatever else was said. Then the newest word counts, about marketing as a whole or about a topic:

- an end of everything ends the topics that were wanted before, but not those that are wanted since;
- a beginning of everything brings no topic back that was ended by name.

Of two words of the same second the one that ends counts: WhatsApp knows whole seconds only.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from twinline.rules.refusal import Refusal


class Why(StrEnum):
    """Why somebody may, or may not, be sent marketing."""

    NOTHING_SAID = "nothing_said"
    OPTED_IN = "opted_in"
    META = "meta"
    SUPPRESSED = "suppressed"
    OPTED_OUT = "opted_out"
    OPTED_OUT_OF_TOPIC = "opted_out_of_topic"
    NO_OPT_IN = "no_opt_in"


@dataclass(frozen=True, slots=True)
class Word:
    """Somebody said yes or no, at a time, by a way (`source`: keyword, person, import …)."""

    granted: bool
    at: datetime
    source: str


@dataclass(frozen=True, slots=True)
class Said:
    """All that is known: Meta's switch, the suppression list, and the newest words about everything and the topic."""

    stopped_at_meta: bool = False
    suppressed: bool = False
    everything: Word | None = None
    topic: Word | None = None
    needs_opt_in: bool = False


@dataclass(frozen=True, slots=True)
class Consent:
    """Whether marketing may go to somebody, why, and since when where a word decided it."""

    allowed: bool
    why: Why
    since: datetime | None = None

    @property
    def says(self) -> str:
        return _SAYS[self.why]

    @property
    def refusal(self) -> Refusal | None:
        """For `rules.guard`; None when it is allowed."""
        if self.allowed:
            return None
        rule = "no_opt_in" if self.why is Why.NO_OPT_IN else "opted_out"
        return Refusal(rule, self.says, _DO[self.why])


FREE: Final = Consent(True, Why.NOTHING_SAID)
"""Of somebody of whom nothing is known, and for messages that aren't marketing."""

_LEAVE_OUT: Final = "Leave them out. Answers and service messages are still possible."
_SAYS: Final = MappingProxyType(
    {
        Why.NOTHING_SAID: "They have said nothing about marketing.",
        Why.OPTED_IN: "They asked for it.",
        Why.META: "This person has stopped marketing messages from you in WhatsApp.",
        Why.SUPPRESSED: "This person is on your suppression list.",
        Why.OPTED_OUT: "This person has asked you for no more marketing.",
        Why.OPTED_OUT_OF_TOPIC: "This person has asked you for no more messages on this topic.",
        Why.NO_OPT_IN: "This topic goes only to people who asked for it, and this person hasn't.",
    }
)
_DO: Final = MappingProxyType(
    {
        Why.META: _LEAVE_OUT,
        Why.SUPPRESSED: "Leave them out, or take them off the list on the page Contacts → Consent.",
        Why.OPTED_OUT: _LEAVE_OUT,
        Why.OPTED_OUT_OF_TOPIC: _LEAVE_OUT,
        Why.NO_OPT_IN: "Ask them first, and record their answer with where it came from.",
    }
)


def newest(one: Word | None, other: Word | None) -> Word | None:
    """Of two words about the same the later; of two at the same time the one that ends."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda word: (word.at, not word.granted))


def decide(said: Said) -> Consent:
    """What comes of all that was said."""
    if said.stopped_at_meta:
        return Consent(False, Why.META)
    if said.suppressed:
        return Consent(False, Why.SUPPRESSED)
    topic, everything = said.topic, said.everything
    if topic is not None and not topic.granted:
        return Consent(False, Why.OPTED_OUT_OF_TOPIC, topic.at)
    if everything is not None and not everything.granted and newest(topic, everything) is everything:
        return Consent(False, Why.OPTED_OUT, everything.at)
    asked = topic or everything
    if asked is not None:
        return Consent(True, Why.OPTED_IN, asked.at)
    return Consent(False, Why.NO_OPT_IN) if said.needs_opt_in else FREE
