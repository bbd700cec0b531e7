"""What is said of a scene: captions, hard negatives, questions with answers, a preference, steps with boxes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from curate.prove.scenes.draw import geometry
from curate.prove.scenes.scene import COLOURS, PLACES, SHAPES, Scene, Thing, relation

COUNTS: Final = ("no", "one", "two", "three")
OPPOSITE: Final = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
OPENINGS: Final = ("{}", "a picture of {}", "{} on a dim background", "there is {}", "an image that shows {}")
QUESTION: Final = "Describe the image."


def position(place: str) -> str:
    """`at the top left`, `in the centre`, `on the left`."""
    before = "in" if place == "centre" else "on" if place in ("left", "right") else "at"
    return f"{before} the {place}"


def named(thing: Thing) -> str:
    """`a small red circle`."""
    return f"a {thing.size} {thing.label}"


def described(things: tuple[Thing, ...], related: str | None = None) -> str:
    """The caption's core. ``related``: the relation of the first two to be told, if not the true one."""
    first = things[0]
    if len(things) == 1:
        return f"{named(first)} {position(first.place)}"
    text = f"{named(first)} {related or relation(first, things[1])} {named(things[1])}"
    return text if len(things) == 2 else f"{text} with {named(things[2])} {position(things[2].place)}"


def captions(scene: Scene) -> list[str]:
    """Four wordings, all true: two orders of the things, each in two of five sentences."""
    draws = scene.draws(2)
    openings = [OPENINGS[i] for i in draws.permutation(len(OPENINGS))[:4].tolist()]
    turned = scene.things[1::-1] + scene.things[2:]
    orders = (scene.things, turned, scene.things, turned)
    return [opening.format(described(things)) for opening, things in zip(openings, orders, strict=True)]


def negatives(scene: Scene) -> list[str]:
    """Three captions in the words of the first one's, each false in one attribute or in the relation."""
    draws = scene.draws(3)
    first, *rest = scene.things
    colour = _other([c for c in COLOURS if c not in {t.colour for t in scene.things}], draws)
    shape = _other([s for s in SHAPES if s not in {t.shape for t in scene.things}], draws)
    false = [described((replace(first, shape=shape), *rest))]
    if rest:
        swapped = (replace(first, colour=rest[0].colour), replace(rest[0], colour=first.colour), *rest[1:])
        false += [described(swapped), described(scene.things, OPPOSITE[relation(first, rest[0])])]
    else:
        cell = _other([cell for cell in range(len(PLACES)) if cell != first.cell], draws)
        false += [described((replace(first, colour=colour),)), described((replace(first, cell=cell),))]
    opening = OPENINGS[int(scene.draws(2).permutation(len(OPENINGS))[0])]
    return [opening.format(text) for text in false]


def _other(choices: list[Any], draws: np.random.Generator) -> Any:
    return choices[int(draws.integers(len(choices)))]


def questions(scene: Scene, found: Thing) -> list[tuple[str, str]]:
    """Questions with one right answer each, in an order of the scene's own: count, colour, shape, size, place, yes or no.

    None says the colour or shape that another asks for: of a thing either one is asked, and the other one names it in all
    questions. A model that reads a whole conversation could else copy what it should see. The names that it has read still
    tell it something of the count, and of whether there is a thing of a colour. ``found`` is the thing that is asked for at
    the end, by its shape: in half of the scenes nothing has said its colour.
    """
    draws = scene.draws(4)
    unsaid = found if draws.random() < 0.5 else None
    names = {thing: _name(thing, thing is not unsaid and draws.random() < 0.5) for thing in scene.things}
    asked = [("How many objects are there?", COUNTS[len(scene.things)])]
    asked += [_known(thing, name, draws) for thing, name in names.items() if thing is not unsaid]
    asked += [(f"How large is the {name}?", thing.size) for thing, name in names.items()]
    if len(scene.things) > 1 and draws.random() < 0.5:
        asked.append(_compared(scene.things[0], scene.things[1], names, draws))
    else:
        asked += [(f"Where is the {name}?", thing.place) for thing, name in list(names.items())[:2]]
    return [asked[i] for i in draws.permutation(len(asked)).tolist()]


def _name(thing: Thing, by_colour: bool) -> str:
    return f"{thing.colour} object" if by_colour else thing.shape


def _known(thing: Thing, name: str, draws: np.random.Generator) -> tuple[str, str]:
    """What its name does not say. Of one that is named by its shape also whether it has a colour, as often yes as no."""
    if name != thing.shape:
        return f"What shape is the {name}?", thing.shape
    if draws.random() < 0.5:
        return f"What colour is the {name}?", thing.colour
    yes = draws.random() < 0.5
    colour = thing.colour if yes else _other([c for c in COLOURS if c != thing.colour], draws)
    return f"Is there {'an' if colour == 'orange' else 'a'} {colour} {thing.shape}?", "yes" if yes else "no"


def _compared(one: Thing, other: Thing, names: dict[Thing, str], draws: np.random.Generator) -> tuple[str, str]:
    true = relation(one, other)
    yes = draws.random() < 0.5
    return f"Is the {names[one]} {true if yes else OPPOSITE[true]} the {names[other]}?", "yes" if yes else "no"


def conversations(scene: Scene) -> list[dict[str, str]]:
    """LLaVA's form: the questions, then one that is answered by an object, `<ref>label</ref>`."""
    found = scene.things[int(scene.draws(5).integers(len(scene.things)))]
    turns = [*questions(scene, found), (f"Find the {found.shape}.", f"<ref>{found.label}</ref>")]
    said = [{"from": who, "value": text} for turn in turns for who, text in zip(("human", "gpt"), turn, strict=True)]
    said[0]["value"] = "<image>\n" + said[0]["value"]
    return said


def preference(scene: Scene) -> dict[str, str]:
    """A true and a false description; `facts` is what a judge may know (LLaVA-RLHF's factual augmentation)."""
    facts = "; ".join(f"{named(thing)} {position(thing.place)}" for thing in scene.things)
    return {
        "question": QUESTION,
        "chosen": captions(scene)[0],
        "rejected": _other(negatives(scene), scene.draws(6)),
        "facts": facts,
    }


def steps(scene: Scene) -> list[dict[str, Any]]:
    """Thing by thing with its box (xyxy in [0, 1]), then what follows."""
    boxes = [geometry(thing)["box"] for thing in scene.things]
    told = [
        {"text": f"The {thing.label} is {position(thing.place)}.", "boxes": [box]}
        for thing, box in zip(scene.things, boxes, strict=True)
    ]
    return [*told, {"text": f"So the image shows {described(scene.things)}.", "boxes": boxes}]


def said_of(scene: Scene) -> dict[str, Any]:
    """Every field of a record that is words."""
    first, *others = captions(scene)
    return {
        "text": first,
        "captions": others,
        "negatives": negatives(scene),
        "conversations": conversations(scene),
        "preference": preference(scene),
        "steps": steps(scene),
    }
