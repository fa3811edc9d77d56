"""SockJS: a poll that all pages see change, for pages that use `sockjs-client`.

anywire serve examples/sockjs/app.py:app
node client.mjs http://127.0.0.1:8000/sockjs/poll     (beside it, after: npm i sockjs-client)
"""

from collections import Counter
from typing import Literal

from msgspec import Struct

from anywire import Anywire, Left, Member, SockJS

app = Anywire(wires=["anywire", "raw", SockJS()])
poll = app.channel("poll")
votes: dict[str, str] = {}


class Vote(Struct):
    """What a page says: `{"vote":"tea"}`."""

    vote: Literal["tea", "coffee"]


def tally() -> dict[str, int]:
    """What pages hear, as JSON: how many are for what."""
    return dict(sorted(Counter(votes.values()).items()))


@poll.join
async def join(member: Member) -> None:
    """Tell who comes how it stands."""
    await member.send("message", tally())


@poll.message
async def vote(member: Member, said: Vote) -> None:
    """Count a vote, of each page the last one; what is none never comes here."""
    votes[member.id] = said.vote
    await member.room.publish("message", tally())


@poll.leave
async def leave(member: Member, why: Left) -> None:
    """Who is gone has no vote."""
    if votes.pop(member.id, None) is not None:
        await member.room.publish("message", tally(), but=member)
