"""Champion against challenger: who is promoted, who is not and why, and what a judgement remembers."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from photochrom.training.data.working_copy import chroma_of
from photochrom.training.evaluation import comparison as judging
from photochrom.training.evaluation import evaluate as evaluation
from photochrom.training.evaluation.comparison import CONTENDERS, judge, largest_differences, write_sheet
from photochrom.training.evaluation.evaluate import gray_of
from photochrom.training.evaluation.promotion_gate import Gate
from photochrom.worker.errors import UsageError

GATE = Gate()
SIDE = 24


class Truth:
    """A photograph of the side that is measured."""

    def __init__(self, name, rgb):
        self.name, self.pixels = name, rgb

    def rgb(self):
        return Image.fromarray(self.pixels)


class Knowing:
    """An engine that knows the colours, and tells a share of them: each photograph's own, or turned by 90 degrees."""

    def __init__(self, photographs, strength, name="knowing", turned=False):
        self.card = SimpleNamespace(name=name, sha256=name[0].encode().hex() * 32)
        strengths = np.broadcast_to(strength, len(photographs))
        self.known = {}
        for photograph, share in zip(photographs, strengths, strict=True):
            chroma = chroma_of(photograph.pixels) * np.float32(share)
            chroma = np.stack([-chroma[1], chroma[0]]) if turned else chroma
            self.known[gray_of(photograph.pixels).luma.tobytes()] = chroma

    def input_size(self, height, width):
        return height, width

    def predict(self, gray, vividness=None):
        assert vividness is None
        return self.known[gray.tobytes()]


@pytest.fixture(autouse=True)
def small_squares(monkeypatch):
    monkeypatch.setattr(evaluation, "SIDE", SIDE)


@pytest.fixture
def photographs(picture):
    return [Truth(f"{index}.png", np.asarray(picture(index, width=SIDE, height=SIDE))) for index in range(12)]


def test_one_that_is_better_with_confidence_is_promoted(photographs):
    judgement = judge(Knowing(photographs, 0.5), Knowing(photographs, 0.9), photographs, GATE)
    assert judgement.promote
    assert len(judgement.reasons) == 3
    assert all(reason.startswith("met: ") for reason in judgement.reasons)
    assert judgement.figures["ciede2000_change_high"] < 0 < judgement.figures["psnr_change_low"]
    assert judgement.figures["colourfulness_ratio"] > judgement.figures["colourfulness_ratio_champion"]
    assert judgement.figures["ciede2000_better_share"] == 1


def test_one_that_is_worse_is_not(photographs):
    judgement = judge(Knowing(photographs, 0.9), Knowing(photographs, 0.5), photographs, GATE)
    assert not judgement.promote
    assert [reason.partition(":")[0] for reason in judgement.reasons] == ["not met"] * 3
    assert "CIEDE2000 changes by +" in judgement.reasons[0]


def test_the_champion_itself_is_not(photographs):
    engine = Knowing(photographs, 0.7)
    judgement = judge(engine, engine, photographs, GATE)
    assert not judgement.promote
    assert [reason.partition(":")[0] for reason in judgement.reasons] == ["not met", "met", "met"]
    assert judgement.figures["ciede2000_change"] == judgement.figures["psnr_change_high"] == 0
    assert largest_differences(judgement) == []


def test_one_that_is_better_here_and_worse_there_is_not(photographs):
    mixed = Knowing(photographs, [0.9, 0.55] * 6)
    judgement = judge(Knowing(photographs, 0.75), mixed, photographs, GATE)
    assert judgement.figures["ciede2000_change_low"] < 0 < judgement.figures["ciede2000_change_high"]
    assert not judgement.promote


def test_one_that_is_better_but_gray_is_not(photographs):
    champion = Knowing(photographs, 1, turned=True)
    judgement = judge(champion, Knowing(photographs, 0.4), photographs, GATE)
    assert judgement.figures["ciede2000_change_high"] < 0
    assert [reason.partition(":")[0] for reason in judgement.reasons] == ["met", "met", "not met"]
    assert "colourfulness" in judgement.reasons[2]
    assert not judgement.promote


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("who", ["champion", "challenger"])
def test_colours_that_are_not_finite_are_refused_with_their_reason(photographs, who, value):
    engines = {name: Knowing(photographs, 0.9, name) for name in ("champion", "challenger")}
    chroma = engines[who].known[gray_of(photographs[4].pixels).luma.tobytes()]
    chroma[1, 3, 3] = value
    judgement = judge(engines["champion"], engines["challenger"], photographs, GATE)
    assert not judgement.promote
    (reason,) = judgement.reasons
    assert reason.startswith(f"not met: {who} ")
    assert "not finite" in reason
    assert judgement.figures == {}
    assert json.loads(json.dumps(judgement.summary(), allow_nan=False))["reasons"] == [reason]
    assert "Promote: no" in judgement.table()


def test_a_few_photographs_are_not_enough_to_be_sure(photographs):
    few = photographs[: GATE.fewest - 1]
    judgement = judge(Knowing(few, 0.5), Knowing(few, 0.9), few, GATE)
    assert not judgement.promote
    assert judgement.reasons[-1] == "not met: 5 photographs are too few to be sure: at least 6"
    enough = photographs[: GATE.fewest]
    assert judge(Knowing(enough, 0.5), Knowing(enough, 0.9), enough, GATE).promote


def test_photographs_without_colour_are_refused(photographs):
    gray = [Truth("gray", np.repeat(gray_of(photographs[0].pixels).luma[..., None], 3, axis=2))]
    for none in ([], gray):
        with pytest.raises(UsageError, match="colour"):
            judge(Knowing(none, 1), Knowing(none, 1), none, GATE)


def test_architectures_may_differ(photographs, engine):
    judgement = judge(engine, Knowing(photographs, 0.9), photographs, GATE)
    assert judgement.promote
    assert judgement.champion.name == "stand-in"


def test_it_is_told_how_far_it_is(photographs):
    told = []
    judge(Knowing(photographs, 0.5), Knowing(photographs, 0.9), photographs, GATE, lambda *far: told.append(far))
    assert told == [(done, 12) for done in range(1, 13)]


def test_a_judgement_can_be_stored_with_the_scores_of_every_photograph(photographs):
    judgement = judge(Knowing(photographs, 0.5, "old"), Knowing(photographs, 0.9, "new"), photographs, GATE)
    said = json.loads(json.dumps(judgement.summary(), allow_nan=False))
    assert said["champion"] == {"name": "old", "sha256": "6f" * 32}
    assert said["challenger"]["name"] == "new"
    assert said["photographs"] == 12
    assert said["promote"] is True
    assert said["gate"]["measure"] == "ciede2000"
    assert [image["name"] for image in said["per_image"]] == [photograph.name for photograph in photographs]
    changes = [image["challenger"]["psnr"] - image["champion"]["psnr"] for image in said["per_image"]]
    assert np.mean(changes) == pytest.approx(said["figures"]["psnr_change"], abs=1e-3)
    assert "per_image" not in judgement.summary(per_image=False)


def test_the_table_has_gray_beside_both_and_the_verdict(photographs):
    judgement = judge(Knowing(photographs, 0.5, "old"), Knowing(photographs, 0.9, "new"), photographs, GATE)
    text = judgement.table()
    rows = [line.split(" | ")[0].strip("| ") for line in text.splitlines() if line.startswith("|")]
    assert rows[2:] == [*CONTENDERS, "challenger minus champion"]
    assert text.startswith("challenger new 6e6e6e6e6e6e against champion old 6f6f6f6f6f6f")
    assert "Promote: yes" in text
    assert all(reason in text for reason in judgement.reasons)


def test_the_largest_differences_are_kept_either_way(photographs, monkeypatch):
    monkeypatch.setattr(judging, "KEPT", 3)
    strengths = np.array([0.6, 0.9, 0.2, 0.95, 0.3, 0.6, 0.61, 0.59, 0.1, 0.99, 0.6, 0.6])
    judgement = judge(Knowing(photographs, 0.6), Knowing(photographs, strengths), photographs, GATE)
    column = ("psnr", "ciede2000").index("ciede2000")
    scores = judgement.evaluation.scores
    gains = scores["champion"][:, column] - scores["challenger"][:, column]
    order = [judgement.evaluation.names[index] for index in np.argsort(-gains)]
    found = largest_differences(judgement)
    assert [difference.name for difference in found] == [*order[:3], *order[::-1][:3]]
    assert [difference.gain for difference in found] == pytest.approx([*np.sort(-gains)[:3] * -1, *np.sort(gains)[:3]])
    assert [difference.name for difference in largest_differences(judgement, 1)] == [order[0], order[-1]]
    first = found[0]
    place = judgement.evaluation.names.index(first.name)
    assert (first.row.pictures[3] == photographs[place].pixels).all()
    before, after = scores["champion"][place, column], scores["challenger"][place, column]
    assert first.row.caption.endswith(f"CIEDE2000 {before:.2f} to {after:.2f} ({after - before:+.2f})")


@pytest.mark.parametrize("same", [False, True])
def test_the_sheet_is_a_picture_even_where_nothing_differs(photographs, tmp_path, same):
    engine = Knowing(photographs, 0.5)
    judgement = judge(engine, engine if same else Knowing(photographs, 0.9), photographs, GATE)
    write_sheet(judgement, tmp_path / "new" / "sheet.png")
    assert Image.open(tmp_path / "new" / "sheet.png").width > 4 * SIDE
