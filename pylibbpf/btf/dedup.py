"""Put the types of several files into one BTF, each definition once.

Two types are one where nothing that can be seen from them tells them apart: the same kind, name,
size and members, and so on for each type that they refer to. That is the coarsest partition of
the types that is stable under their references, which Hopcroft's way of minimising automata finds
in O(n log n), however the types refer to each other in circles. libbpf's btf__dedup comes to the
same by comparing graphs of types two by two.
"""

from __future__ import annotations

from pylibbpf.btf.rows import encode, id_places, kind_of, name_places
from pylibbpf.btf.types import Kind
from pylibbpf.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from pylibbpf.btf.rows import Row, Rows, Strings

__all__ = ["Pool", "partition"]

_MOST_VARIABLES = 0xFFFF  # vlen has 16 bits

# How often declarations are taken for definitions that prove to be several: each time for fewer.
_TRIES = 4


def partition(labels: Sequence[Hashable], edges: Sequence[Sequence[int]]) -> list[int]:
    """Number the nodes of a graph so that equal numbers mean: seen from both, the same.

    ``labels`` is what a node shows by itself, ``edges`` the nodes that it refers to, in order.
    """
    numbers: dict[Hashable, int] = {}
    group_of = [numbers.setdefault(label, len(numbers)) for label in labels]
    members: list[list[int]] = [[] for _ in numbers]
    at = [0] * len(labels)  # where a node stands in its group
    users: list[list[int]] = [[] for _ in labels]
    for node, group in enumerate(group_of):
        at[node] = len(members[group])
        members[group].append(node)
        for target in edges[node]:
            users[target].append(node)
    # All members of a group that do not wait to be looked at refer to the same groups.
    waiting = {number: set(group) for number, group in enumerate(members)}
    while waiting:
        group, looked_at = waiting.popitem()
        pieces: dict[tuple[int, ...], list[int]] = {}
        for node in looked_at:
            pieces.setdefault(tuple([group_of[t] for t in edges[node]]), []).append(node)
        company = members[group]
        others = len(company) - len(looked_at)
        joined: list[int] = []
        if others:
            one = next(node for node in company if node not in looked_at)
            joined = pieces.pop(tuple([group_of[t] for t in edges[one]]), [])
        if len(pieces) + bool(others) == 1:
            continue
        # The largest piece keeps its number: whoever gets a new one has halved its company, which
        # happens to no node more often than log2(n) times.
        parts = sorted(pieces.values(), key=len)
        if not others or len(parts[-1]) > others + len(joined):
            parts.pop()
            if others:
                parts.append([*joined, *(node for node in company if node not in looked_at)])
        for part in parts:
            for node in part:
                last = company.pop()
                if last != node:
                    company[at[node]] = last
                    at[last] = at[node]
                group_of[node] = len(members)
            for place, node in enumerate(part):
                at[node] = place
            members.append(part)
        for part in parts:
            for node in part:
                for user in users[node]:
                    waiting.setdefault(group_of[user], set()).add(user)
    return group_of


class Pool:
    """Types on their way from several files into one.

    A node is a type of one of the files; 0 is ``void``, of all of them. In a row of the pool, ids
    are nodes and names are numbers of its own.
    """

    def __init__(self) -> None:
        self._rows: list[Row] = [()]
        self._names: dict[bytes, int] = {b"": 0}
        self._alias: dict[int, int] = {}
        self._dropped: set[int] = set()

    def add(self, rows: Rows) -> int:
        """Take the types of a file in; the node of a type is its id (from 1 on) plus the result."""
        base = len(self._rows) - 1
        known: dict[int, int] = {}
        for row in rows.types[1:]:
            words = list(row)
            for place in id_places(row):
                if words[place]:
                    words[place] += base
            for place in name_places(row):
                offset = words[place]
                number = known.get(offset)
                if number is None:
                    number = known[offset] = self._name(rows.string(offset))
                words[place] = number
            self._rows.append(tuple(words))
        return base

    def add_datasec(self, name: bytes, size: int, variables: list[tuple[int, int, int]]) -> None:
        """Add a data section of variables: node, offset and size of each.

        Raises:
            BtfError: they are more than BTF can hold.
        """
        if len(variables) > _MOST_VARIABLES:
            raise BtfError(f"the linked section has {len(variables)} variables, too many for BTF")
        info = Kind.DATASEC << 24 | len(variables)
        flat = [word for variable in variables for word in variable]
        self._rows.append((self._name(name), info, size, *flat))

    def alias(self, node: int, target: int) -> None:
        """Put the type ``target`` wherever ``node`` is referred to."""
        self._alias[node] = target

    def drop(self, node: int) -> None:
        """Leave a type out, and what is tagged to it."""
        self._dropped.add(node)

    def finish(self, strings: Strings) -> tuple[list[Row], list[int]]:
        """Give the rows of the BTF, and the id in it of each node; 0 for one that is dropped.

        Raises:
            BtfError: a type that stays refers to one that was dropped.
        """
        self._drop_more()
        self._alias_prototypes()
        group_of = self._groups()
        ids = {group_of[0]: 0}
        kept = []
        for node, row in enumerate(self._rows):
            gone = not row or node in self._dropped or node in self._alias
            if not gone and group_of[node] not in ids:
                ids[group_of[node]] = len(ids)
                kept.append(row)
        final = [
            0 if node in self._dropped else ids[group_of[self._target(node)]]
            for node in range(len(self._rows))
        ]
        texts = list(self._names)
        offsets: dict[int, int] = {}
        written = []
        for row in kept:
            words = list(row)
            for place in id_places(row):
                words[place] = final[words[place]]
            for place in name_places(row):
                number = words[place]
                if number not in offsets:
                    offsets[number] = strings.add(texts[number])
                words[place] = offsets[number]
            written.append(tuple(words))
        return written, final

    def encode(self, strings: Strings) -> tuple[bytes, list[int]]:
        """Write the BTF, with no other strings in it; also gives the id of each node."""
        rows, final = self.finish(strings)
        return encode(rows, strings), final

    # ---- how

    def _name(self, text: bytes) -> int:
        return self._names.setdefault(text, len(self._names))

    def _target(self, node: int) -> int:
        return self._alias.get(node, node)

    def _drop_more(self) -> None:
        for node, row in enumerate(self._rows):
            gone = [row[place] for place in id_places(row) if row[place] in self._dropped]
            if not gone or node in self._dropped:
                continue
            if kind_of(row) != Kind.DECL_TAG:
                raise BtfError(f"a type refers to {_word(self._rows[gone[0]])}")
            self._dropped.add(node)

    def _alias_prototypes(self) -> None:
        """Let a prototype go with its function: a declaration leaves out the parameters' names."""
        used = {
            row[place]
            for node, row in enumerate(self._rows)
            if node not in self._alias and node not in self._dropped
            for place in id_places(row)
        }
        for node, target in list(self._alias.items()):
            row = self._rows[node]
            if kind_of(row) == Kind.FUNC and row[2] and row[2] not in used:
                self._alias[row[2]] = self._rows[target][2]

    def _groups(self) -> list[int]:
        """Number the types by what they are; a forward declaration as what it declares."""
        labels = self._labels()
        forward, defined = self._forward()
        active = [key for key in forward if key in defined]
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1
            taken = {} if last else {n: defined[k][0] for k in active for n in forward[k]}
            group_of = self._partition(labels, taken)
            unclear = [key for key in active if len({group_of[n] for n in defined[key]}) > 1]
            if not unclear or last:
                break
            gone = set(unclear)
            active = [key for key in active if key not in gone]
        self._alias.update(taken)
        return group_of

    def _partition(self, labels: list[Hashable], taken: dict[int, int]) -> list[int]:
        edges = []
        for row in self._rows:
            targets = [self._target(row[place]) for place in id_places(row)]
            edges.append([taken.get(target, target) for target in targets])
        return partition(labels, edges)

    def _labels(self) -> list[Hashable]:
        # What is tagged differently is different, although the tags refer to it and not it to them.
        tags: dict[int, set[tuple[int, int]]] = {}
        for row in self._rows:
            if kind_of(row) == Kind.DECL_TAG:
                tags.setdefault(self._target(row[2]), set()).add((row[0], row[3]))
        labels: list[Hashable] = []
        for node, row in enumerate(self._rows):
            # Each variable is one of its own, and so is each section.
            if kind_of(row) in (Kind.VAR, Kind.DATASEC):
                labels.append(node)
                continue
            words = list(row)
            for place in id_places(row):
                words[place] = 0
            labels.append((tuple(words), frozenset(tags.get(node, ()))))
        return labels

    def _forward(self) -> tuple[dict[Row, list[int]], dict[Row, list[int]]]:
        """List the declarations and the definitions of structs, unions and enums, by what."""
        forward: dict[Row, list[int]] = {}
        defined: dict[Row, list[int]] = {}
        for node, row in enumerate(self._rows):
            kind = kind_of(row)
            if not row or not row[0] or node in self._dropped:
                continue
            if kind == Kind.FWD:
                word = Kind.UNION if row[1] >> 31 else Kind.STRUCT
                forward.setdefault((word, row[0]), []).append(node)
            elif kind in (Kind.STRUCT, Kind.UNION):
                defined.setdefault((kind, row[0]), []).append(node)
            elif kind in (Kind.ENUM, Kind.ENUM64):
                # An enumeration that is only declared has no values (and the size of an int).
                found = defined if row[1] & 0xFFFF else forward
                found.setdefault((Kind.ENUM, row[0]), []).append(node)
        return forward, defined


def _word(row: Row) -> str:
    return f"a {Kind(kind_of(row)).name.lower()}, which no type can"
