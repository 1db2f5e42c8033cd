"""The cast of `canon`: characters of manifests, and people of the sets treated as characters."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.array import FaceArray
from nenrin.domains.duplicates import HASH_BYTES, difference_hash, near_duplicates
from nenrin.domains.face import GLASSES
from nenrin.eval.bench import Bench
from nenrin.eval.characters import Pair, read_manifests, shipped
from nenrin.eval.portraits import Album
from nenrin.eval.subjects import Batch

GAP = 10  # years at least between the two ages of a person of the sets
NEAR = 5  # years between pictures that count as of one age
PICTURES, PEOPLE = 2, 40  # at most: pictures of a person of the sets at one age; persons
STRANGERS = 100
SPARE = 20  # extra candidates, as some may turn out to be the character
BOARDS = ("danbooru", "safebooru", "gelbooru")
ABOUT = 10  # years by which a stranger may differ, as long as there are enough of them


@dataclasses.dataclass(kw_only=True, slots=True)
class Role:
    """One character: pictures to be aged, and pictures of the true result."""

    name: str
    title: str  # "Conan Edogawa → Shinichi Kudo"
    domain: str
    start: Batch
    goal: Batch  # empty: shown, not scored
    age: float  # years, of the goal
    glasses: int  # of the goal; -1 leaves them alone
    known_as: frozenset[str] = frozenset()  # other names that sets may use for this character, in lower case


def from_manifests(bench: Bench, notes: list[str]) -> list[Role]:
    """Characters with pictures; each missing one becomes a line in `notes`.

    Raises `UsageError` for a manifest or a folder that cannot be used at all.
    """
    pairs = read_manifests(list(bench.canon.manifests) or shipped())
    if bench.canon.pictures is None:
        notes.append(
            f"no pictures of characters were given (--pictures DIR): {len(pairs)} pairs of "
            f"{len({p.series for p in pairs})} works are known, {', '.join(p.name for p in pairs[:3])} ..."
        )
        return []
    album = Album(bench.canon.pictures, bench.size, bench.canon.finder)
    cast = []
    for pair in pairs:
        portraits = album.open(pair)
        notes += portraits.notes
        if len(portraits.start) and (len(portraits.goal) or not pair.goal.reference):
            title = f"{pair.start.character}, {pair.start.age:g} → {pair.goal.character}, {pair.goal.age:g}"
            cast.append(
                Role(
                    name=pair.name,
                    title=title,
                    domain=pair.domain,
                    start=portraits.start,
                    goal=portraits.goal,
                    age=pair.goal.age,
                    glasses=GLASSES.index(pair.goal.glasses),
                    known_as=_names_of(pair),
                )
            )
    return cast


def _names_of(pair: Pair) -> frozenset[str]:
    """The character's names, and its tags from the boards' queries, which scrapers use as identities."""
    sides = (pair.start, pair.goal)
    tags = [q.query.split()[0] for side in sides for q in side.find if q.source in BOARDS]
    return frozenset(name.lower() for name in (*(side.character for side in sides), *tags))


def from_sets(bench: Bench, domain: str) -> list[Role]:
    """Test people with pictures at two ages: the youngest pictures are aged, the oldest are the truth."""
    faces = bench.of_domain(domain)
    faces = faces.take(np.isfinite(faces.age))
    cast = []
    for name in np.unique(faces.person):
        mine = np.flatnonzero(faces.person == name)
        mine = mine[np.argsort(faces.age[mine], kind="stable")]
        age = faces.age[mine]
        young, old = mine[age <= age[0] + NEAR][:PICTURES], mine[age >= age[-1] - NEAR][-PICTURES:]
        goal = float(faces.age[old].mean())
        if goal - faces.age[young].max() < GAP:
            continue
        cast.append(
            Role(
                name=str(name),
                title=f"{faces.age[young].mean():.0f} → {goal:.0f}",
                domain=domain,
                start=faces.take(young),
                goal=faces.take(old),
                age=goal,
                glasses=-1,
            )
        )
    lots = {role.name: hashlib.sha256(f"{bench.seed} {role.name}".encode()).digest() for role in cast}
    return sorted(cast, key=lambda role: lots[role.name])[: min(bench.people, PEOPLE)]


@dataclasses.dataclass(kw_only=True, slots=True)
class Strangers:
    """Other people of the character's domain, gender and age, as far as available."""

    rows: NDArray[np.intp]  # of the pool
    furthest: float  # largest difference in age, in years; NaN if the ages are unknown


def strangers(
    pool: FaceArray | None, role: Role, seed: int, hashes: dict[int, bytes] | None = None
) -> Strangers:
    """Up to `STRANGERS` faces of other people, the nearest in age; none without a face of the domain.

    People with one of the character's names, or whose face nearly equals one of its pictures, are excluded.
    `hashes` caches hashes of the pool's rows between roles.
    """
    if pool is None or role.domain not in pool.domains or not len(role.goal):
        return Strangers(rows=np.zeros(0, np.intp), furthest=float("nan"))
    mine = [i for i, name in enumerate(pool.identities) if _is(role, name)]
    here = pool.domain == pool.domains.index(role.domain)
    rows = np.flatnonzero(here & ~np.isin(pool.identity, mine))
    gender = int(role.start.gender[0])
    off = np.abs(pool.age[rows] - role.age)
    far = ~(off <= ABOUT)  # unknown ages come after near ones
    other = (pool.gender[rows] != gender) & (pool.gender[rows] >= 0) & (gender >= 0)
    lots = np.random.default_rng(seed).permutation(len(rows))
    order = np.lexsort((lots, np.where(np.isfinite(off), off, np.inf), other, far))
    near = _one_of_each(pool, rows[order])[: STRANGERS + SPARE]
    chosen = _not_drawn_twice(pool, role, near, {} if hashes is None else hashes)[:STRANGERS]
    differ = np.abs(pool.age[chosen] - role.age)
    furthest = float(np.nanmax(differ)) if np.isfinite(differ).any() else float("nan")
    return Strangers(rows=chosen, furthest=furthest)


def _is(role: Role, identity: str) -> bool:
    """Identities of scraped sets are "source/name"."""
    return identity == role.name or identity.rpartition("/")[2].lower() in role.known_as


def _not_drawn_twice(
    pool: FaceArray, role: Role, rows: NDArray[np.intp], hashes: dict[int, bytes]
) -> NDArray[np.intp]:
    """The rows whose face is not nearly one of the character's own pictures."""
    own = [*role.start.pixels, *role.goal.pixels]
    new = np.array([row for row in rows.tolist() if row not in hashes], dtype=np.intp)
    hashes.update(zip(new.tolist(), map(difference_hash, np.asarray(pool.select(new).pixels)), strict=True))
    known = b"".join([*map(difference_hash, own), *(hashes[row] for row in rows.tolist())])
    same = {
        second - len(own)
        for first, second in near_duplicates(np.frombuffer(known, np.uint8).reshape(-1, HASH_BYTES))
        if first < len(own) <= second
    }
    return np.delete(rows, sorted(same))


def _one_of_each(pool: FaceArray, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """The first row of each named person; those without a name are each their own."""
    person = np.where(pool.identity[rows] >= 0, pool.identity[rows], -1 - rows)
    _, first = np.unique(person, return_index=True)
    return rows[np.sort(first)]
