"""What a probe found about a refusal, and all of them together."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

__all__ = ["Diagnosis", "Finding", "Verdict", "join"]


class Verdict(enum.Enum):
    """What a probe found about one possible reason."""

    CAUSE = "cause"
    POSSIBLE = "possible"
    CLEARED = "ruled out"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one probe found; ``text`` completes "the cause is: ..." or "ruled out: ..."."""

    verdict: Verdict
    text: str
    mend: str = ""
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the probes found about one refused operation."""

    operation: str
    findings: tuple[Finding, ...] = field(default=())

    def _texts(self, verdict: Verdict) -> tuple[str, ...]:
        return tuple(each.text for each in self.findings if each.verdict is verdict)

    @property
    def cause(self) -> str | None:
        """The cause, where a probe shows it."""
        return "; ".join(self._texts(Verdict.CAUSE)) or None

    @property
    def possible(self) -> tuple[str, ...]:
        """What may be the cause, though no probe can show it."""
        return self._texts(Verdict.POSSIBLE)

    @property
    def ruled_out(self) -> tuple[str, ...]:
        """What is not the cause."""
        return self._texts(Verdict.CLEARED)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What could not be found out."""
        return self._texts(Verdict.UNKNOWN)

    @property
    def mend(self) -> str | None:
        """What helps against the cause, or else against what is possible."""
        for verdict in (Verdict.CAUSE, Verdict.POSSIBLE):
            mends = [each.mend for each in self.findings if each.verdict is verdict and each.mend]
            if mends:
                return "; ".join(dict.fromkeys(mends))
        return None

    @property
    def instead(self) -> str | None:
        """What needs no such privilege, and does the like."""
        return "; ".join(each.instead for each in self.findings if each.instead) or None

    def text(self) -> str:
        """The cause and the mend on one line; without a cause, what was ruled out."""
        parts = [self.reason()]
        if self.mend:
            parts.append(f"To mend it: {self.mend}" if self.cause else f"try: {self.mend}")
        if self.instead:
            parts.append(f"Instead: {self.instead}")
        return ". ".join(parts)

    def reason(self) -> str:
        """The cause alone; without one, what is possible and what was ruled out."""
        if self.cause:
            return self.cause
        parts = ["no probe shows the cause"]
        if self.possible:
            parts.append(f"possible: {'; '.join(self.possible)}")
        if self.ruled_out:
            parts.append(f"ruled out: {'; '.join(self.ruled_out)}")
        if self.unknown:
            parts.append(f"not known: {'; '.join(self.unknown)}")
        return ". ".join(parts)


def join(names: tuple[str, ...] | list[str]) -> str:
    caps = [f"CAP_{name}" for name in names]
    return caps[0] if len(caps) == 1 else f"{', '.join(caps[:-1])} and {caps[-1]}"
