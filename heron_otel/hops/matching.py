# SPDX-License-Identifier: Apache-2.0
"""Which of the calls with one last text is a hop of which other one.

The whole group is matched at once and from nothing, so the answer depends on what is known of the
calls alone, and not on the order in which it came to be known.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from heron_otel.hops.limits import HopLimits
from heron_otel.hops.seen import RELEASED, Fit, Seen, compete, hop_fit, is_taken

_EXCHANGES = 1024
"""Exchanges that are tried in one matching, more or less: each makes the whole fit better, so this
is only a bound in time."""


class Group:
    """Calls with one last text, and how well each fits inside each."""

    def __init__(self, limits: HopLimits) -> None:
        self._limits = limits
        self._fits: dict[Seen, dict[Seen, Fit]] = {}  # of an inner call: by outer call
        self._outers: dict[Seen, Seen] | None = None  # None: not known

    def __len__(self) -> int:
        return len(self._fits)

    def __iter__(self) -> Iterator[Seen]:
        return iter(self._fits)

    def add(self, seen: Seen) -> None:
        """Add a call, or note that more is known of it."""
        self._outers = None
        self._fits.setdefault(seen, {})
        for other in self._fits:
            if other is not seen:
                first, second = seen, other
                if other.started_ns < seen.started_ns:
                    first, second = other, seen
                if self._compare(first, second) and first.started_ns < second.started_ns:
                    self._fits[first].pop(second, None)  # it is not the other way round too
                else:
                    self._compare(second, first)

    def remove(self, seen: Seen) -> None:
        """Forget a call."""
        if self._fits.pop(seen, None) is not None:
            self._outers = None
            for fits in self._fits.values():
                fits.pop(seen, None)

    def outers(self) -> dict[Seen, Seen]:
        """Return the call that each hop is directly inside of."""
        if self._outers is None:
            inside = [inner for inner, fits in self._fits.items() if fits]
            if len(inside) > 1:
                self._outers = _Matching(self._fits).outers
            else:
                self._outers = {inner: outer for inner in inside for outer in self._only(inner)}
        return self._outers

    def _only(self, inner: Seen) -> list[Seen]:
        """Return the call that the only hop is inside of; none when it follows others."""
        fits = self._fits[inner]
        return [each for each in _wishes(fits) if not fits[each].follows][:1]

    def _compare(self, outer: Seen, inner: Seen) -> bool:
        """Note how ``inner`` fits inside ``outer``; return whether it does."""
        fit = None
        if inner.state is not RELEASED and not (outer.taken and is_taken(outer, inner)):
            fit = hop_fit(outer, inner, self._limits)
        if fit is None:
            self._fits[inner].pop(outer, None)
        else:
            self._fits[inner][outer] = fit
        return fit is not None


class _Matching:
    """The best hops for calls, found on construction.

    Better evidence goes first. With equal evidence as many calls as possible get a hop, and of the
    ways to do that a near one is taken: neighbours are exchanged while that makes them fit better.
    """

    def __init__(self, fits: dict[Seen, dict[Seen, Fit]]) -> None:
        self._fits = fits
        self._hops: dict[Seen, list[Seen]] = {outer: [] for outer in fits}
        self.outers: dict[Seen, Seen] = {}
        self._wishes = {inner: _wishes(fits[inner]) for inner in fits if fits[inner]}
        first = {
            inner: (_order(fits[inner][outers[0]]), inner.started_ns, inner.key)
            for inner, outers in self._wishes.items()
        }
        for inner in sorted(first, key=first.__getitem__):
            self._find_place(inner, set())
        for _ in range(1 + _EXCHANGES // (1 + len(self.outers))):
            if not self._exchange():
                break

    def _find_place(self, inner: Seen, tried: set[Seen]) -> bool:
        """Put ``inner`` where there is room, or where a hop can go elsewhere."""
        wishes = [each for each in self._wishes[inner] if each not in tried]
        for outer in wishes:
            if self._may_be_in(outer, inner) and not self._rivals(outer, inner):
                self._put(inner, outer)
                return True
        for outer in wishes:
            if outer in tried or not self._may_be_in(outer, inner):
                continue
            tried.add(outer)
            rivals = self._rivals(outer, inner)
            if len(rivals) != 1:
                continue
            (rival,) = rivals
            self._take_out(rival)
            if self._find_place(rival, tried) and self._may_be_in(outer, inner):
                self._put(inner, outer)
                return True
            self._take_out(rival)
            self._put(rival, outer)
        return False

    def _exchange(self) -> bool:
        """Exchange the outer calls of hops that start one after the other; return whether any."""
        exchanged = False
        placed = sorted(self.outers, key=lambda each: (each.started_ns, each.key))
        for first, second in pairwise(placed):
            one, other = self.outers[first], self.outers[second]
            if one is other or other not in self._fits[first] or one not in self._fits[second]:
                continue
            now = _together(self._fits[first][one], self._fits[second][other])
            then = _together(self._fits[first][other], self._fits[second][one])
            if then <= now:
                continue
            self._take_out(first)
            self._take_out(second)
            fits = self._has_room(other, first) and self._has_room(one, second)
            self._put(first, other if fits else one)
            self._put(second, one if fits else other)
            exchanged |= fits
        return exchanged

    def _has_room(self, outer: Seen, inner: Seen) -> bool:
        return self._may_be_in(outer, inner) and not self._rivals(outer, inner)

    def _may_be_in(self, outer: Seen, inner: Seen) -> bool:
        """Return whether ``inner`` may be a hop of ``outer``, as the others are placed now."""
        if self._fits[inner][outer].follows and not any(
            each.client[0] == inner.client[0] for each in self._hops[outer]
        ):
            return False
        above: Seen | None = outer
        while above is not None:
            if above is inner:
                return False
            above = self.outers.get(above)
        return True

    def _rivals(self, outer: Seen, inner: Seen) -> list[Seen]:
        return [each for each in self._hops[outer] if compete(each, inner)]

    def _put(self, inner: Seen, outer: Seen) -> None:
        self.outers[inner] = outer
        self._hops[outer].append(inner)

    def _take_out(self, inner: Seen) -> None:
        outer = self.outers.pop(inner, None)
        if outer is not None:
            self._hops[outer].remove(inner)


def _wishes(fits: dict[Seen, Fit]) -> list[Seen]:
    """Return the calls that a call may be a hop of, the best one first.

    An id that two calls share says that others are not it.
    """
    if len(fits) == 1:
        return list(fits)
    names = max(fit.names for fit in fits.values())
    named = [outer for outer, fit in fits.items() if fit.names == names]
    return sorted(named, key=lambda each: (_order(fits[each]), -each.started_ns, each.key))


def _order(fit: Fit) -> tuple[int, int, int]:
    return (-fit.evidence, -fit.likeness, fit.apart_ns)


def _together(first: Fit, second: Fit) -> tuple[int, int, int]:
    """Return how good two fits are together: two middling ones are better than one bad one."""
    return (
        first.evidence + second.evidence,
        first.likeness + second.likeness,
        -(first.apart_ns**2) - second.apart_ns**2,
    )
