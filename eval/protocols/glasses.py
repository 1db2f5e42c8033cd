"""`glasses`: kept, put on and taken off as asked, and never otherwise?"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from nenrin.domains.face import GLASSES
from nenrin.eval import metrics
from nenrin.eval.bench import Bench, Contender, Sheet
from nenrin.eval.labels import LabelJudge
from nenrin.eval.protocols.asked import REAL, write_calibration
from nenrin.eval.results import Confusion, Result, Strip, StripRow, Who
from nenrin.eval.subjects import Batch, Pixels
from nenrin.ground import NenrinError

OTHER_AGES = (10, 70)  # years asked of faces that are to keep their glasses
NONE = GLASSES.index("none")
KEEP = "asked for another age, glasses to stay as they are"
PUT_ON, TAKE_OFF = "asked to put glasses on", "asked to take glasses off"


class Glasses:
    """Faces whose glasses are known, asked for other ages, and for other glasses at their own age."""

    name = "glasses"
    question = "Do glasses stay, come and go as asked, and never otherwise?"

    def run(self, bench: Bench) -> Result:
        """See `EvalProtocol.run`."""
        result = Result(
            protocol=self.name,
            question=self.question,
            method=(
                "Faces whose glasses are known (none, clear or dark, as many of each as there are) are asked "
                f"to be {OTHER_AGES[0]} and {OTHER_AGES[1]} and to keep their glasses; then, at their own "
                "age, to wear each of the others. Judges read the outcome; how often they are right on real "
                "faces stands above, and the calibration error says how far their sureness is from their "
                "being right (10 equal bins; Naeini et al. 2015). The ceilings are real faces that wear what "
                "was asked for, and how often the judge sees it. Unasked is a face that was to keep its "
                "glasses and lost them, or had none and got some."
            ),
        )
        found = False
        for domain in bench.domains():
            faces = bench.of_domain(domain)
            faces = faces.take(faces.glasses >= 0)
            judges = bench.labels.of("glasses", domain)
            if not len(faces):
                result.notes.append(f"{domain}: nobody says which test faces wear glasses")
            elif not judges:
                result.notes.append(f"{domain}: too few known glasses in the judge split to teach a judge")
            else:
                found = True
                _answer(bench, result, domain, faces, judges)
        if not found:
            raise NenrinError("; ".join(result.notes) or "the sets have no test faces of a known domain")
        return result


def _answer(bench: Bench, result: Result, domain: str, real: Batch, judges: list[LabelJudge]) -> None:
    sheet = Sheet(bench, result, domain, KEEP)
    for judge in judges:
        right = write_calibration(bench, sheet, judge, real, real.glasses)
        judged, worn = bench.labelled(judge, real.pixels).argmax(1), real.glasses != NONE
        sheet.mean(REAL, metrics.AS_ASKED, judge.name, right, real.person)
        mistaken = ((judged != NONE) != worn).astype(np.float64)
        sheet.mean(REAL, metrics.UNASKED, judge.name, mistaken, real.person)
        for case, rows in ((PUT_ON, worn), (TAKE_OFF, ~worn)):  # real faces that already are as requested
            if rows.any():
                of_case = Sheet(bench, result, domain, case)
                of_case.mean(REAL, metrics.AS_ASKED, judge.name, right[rows], real.person[rows])
        _confuse(result, domain, REAL, judge, real.glasses, judged)
    faces = real.take(_choose(real, bench.people, bench.seed))
    tries = _Tries(faces)
    outputs = {}
    for contender in bench.contenders:
        outputs[contender.name] = made = bench.aged(contender, tries.inputs, tries.age, tries.glasses)
        for judge in judges:
            _score(bench, result, domain, contender, tries, judge, bench.labelled(judge, made).argmax(1))
    _strips(bench, result, domain, tries, outputs, judges[0])


class _Tries:
    """All requests for N faces, one row for each."""

    def __init__(self, faces: Batch) -> None:
        kinds = [np.full(len(faces), word) for word in range(len(GLASSES))]
        asked = [*(faces.glasses for _ in OTHER_AGES), *kinds]
        ages = [*OTHER_AGES, *(np.nan for _ in GLASSES)]
        row = np.tile(np.arange(len(faces)), len(asked))
        glasses = np.concatenate(asked)
        age = np.repeat(np.array(ages, np.float32), len(faces))
        # A face's own age with its own glasses is not a request.
        wanted = ~np.isnan(age) | (glasses != faces.glasses[row])
        self.faces, self.row = faces, row[wanted]
        self.inputs, self.age, self.glasses = faces.take(self.row), age[wanted], glasses[wanted]

    def cases(self) -> dict[str, NDArray[np.bool_]]:
        """The requests of each case, as masks."""
        keep, worn = ~np.isnan(self.age), self.inputs.glasses != NONE
        return {
            KEEP: keep,
            PUT_ON: ~keep & ~worn & (self.glasses != NONE),
            TAKE_OFF: ~keep & worn & (self.glasses == NONE),
        }


def _score(
    bench: Bench,
    result: Result,
    domain: str,
    contender: Contender,
    tries: _Tries,
    judge: LabelJudge,
    judged: NDArray[np.intp],
) -> None:
    person = tries.inputs.person
    right = (judged == tries.glasses).astype(np.float64)
    for case, rows in tries.cases().items():
        if rows.any():
            sheet = Sheet(bench, result, domain, case)
            sheet.mean(contender.who, metrics.AS_ASKED, judge.name, right[rows], person[rows])
            if case == KEEP:
                changed = ((judged != NONE) != (tries.inputs.glasses != NONE))[rows].astype(np.float64)
                sheet.mean(contender.who, metrics.UNASKED, judge.name, changed, person[rows])
    _confuse(result, domain, contender.who, judge, tries.glasses, judged)


def _confuse(
    result: Result,
    domain: str,
    who: Who,
    judge: LabelJudge,
    asked: NDArray[np.integer],
    judged: NDArray[np.integer],
) -> None:
    counts = np.zeros((len(GLASSES), len(GLASSES)), dtype=int)
    np.add.at(counts, (asked, judged), 1)
    result.confusions.append(
        Confusion(
            protocol=result.protocol,
            domain=domain,
            subject=who.name,
            role=who.role,
            backend=judge.name,
            words=list(GLASSES),
            counts=counts.tolist(),
        )
    )


def _choose(real: Batch, count: int, seed: int) -> NDArray[np.intp]:
    """Up to `count` rows drawn by the seed and the pictures' names, cycling through GLASSES."""
    lots = [hashlib.sha256(f"{seed} {name}".encode()).digest() for name in real.picture]
    drawn = sorted(range(len(real)), key=lambda i: lots[i])
    place = dict.fromkeys(range(len(GLASSES)), 0)
    turns = []
    for i in drawn:
        word = int(real.glasses[i])
        turns.append((place[word], word, i))
        place[word] += 1
    return np.array([i for _, _, i in sorted(turns)[:count]], dtype=np.intp)


def _strips(
    bench: Bench, result: Result, domain: str, tries: _Tries, outputs: dict[str, Pixels], judge: LabelJudge
) -> None:
    """One face of each kind, and for each ager the first face whose glasses changed unasked."""
    agers = [c.name for c in bench.contenders if c.role == "ager"]
    read = {name: bench.labelled(judge, outputs[name]).argmax(1) for name in agers}
    for word in range(len(GLASSES)):
        for i in np.flatnonzero(tries.faces.glasses == word)[:1]:
            result.strips.append(_strip(domain, tries, int(i), {n: outputs[n] for n in agers}, read))
    keep = tries.cases()[KEEP]
    for name in agers:
        changed = keep & ((read[name] != NONE) != (tries.inputs.glasses != NONE))
        for row in np.flatnonzero(changed)[:1]:
            title = f"{name}: {GLASSES[tries.inputs.glasses[row]]} glasses, changed unasked"
            shown = {name: outputs[name]}
            result.strips.append(_strip(domain, tries, int(tries.row[row]), shown, read, title))


def _strip(
    domain: str,
    tries: _Tries,
    i: int,
    outputs: dict[str, Pixels],
    read: dict[str, NDArray[np.intp]],
    worst: str = "",
) -> Strip:
    mine = np.flatnonzero(tries.row == i)
    columns = [
        GLASSES[tries.glasses[row]] if np.isnan(tries.age[row]) else f"{tries.age[row]:.0f}, kept"
        for row in mine
    ]
    rows = [
        StripRow(
            label=name,
            pictures=[tries.faces.pixels[i], *made[mine]],
            captions=[GLASSES[tries.faces.glasses[i]], *(f"judged {GLASSES[w]}" for w in read[name][mine])],
        )
        for name, made in outputs.items()
    ]
    return Strip(
        protocol=Glasses.name,
        domain=domain,
        title=worst,
        columns=["input", *columns],
        rows=rows,
        worst=bool(worst),
    )
