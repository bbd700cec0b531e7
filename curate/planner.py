"""From a recipe to phases: fused passes over shards, and the global steps that separate them.

Neighbouring per-sample steps fuse into one pass, so that each image is read and decoded once, cheap facts first. With
`compute: needed` the filters of a segment run inside its pass, and a sample that a cheap one dropped never reaches a
costly model. Pool facts and selections see the whole pool and so end a pass. Synthesis comes last, for kept samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from curate.catalog import givers, nearest, step_path
from curate.contracts import DECODED, DocumentFact, Filter, Kind, PoolFact, Selection, Signal, Step, Synth
from curate.errors import RecipeError
from curate.exportable import check_export
from curate.fingerprint import fingerprint
from curate.recipe import Recipe
from curate.schema import INDEX_COLUMNS, NODE_COLUMNS

LONG = 60
"""Settings of more characters are not told with a rule."""
DECODE_CHECK = "stages.signals.image.Pixels"


@dataclass(frozen=True)
class Node:
    """A step that gives columns, placed in the recipe's namespace."""

    label: str
    step: Signal | PoolFact
    columns: dict[str, str]  # as the step gives it -> as the recipe and the facts file name it
    fingerprint: str = ""
    kinds: tuple[Kind, ...] = ()  # rows that it is about; empty: all

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns it reads, `INDEX_COLUMNS` among them."""
        return self.step.inputs()

    def given(self, column: str) -> str:
        """The name by which the step gives a column of the recipe."""
        return next(given for given, named in self.columns.items() if named == column)


@dataclass(frozen=True)
class Rule:
    """A filter or selection at its place in the recipe's order."""

    number: int
    label: str
    step: Filter | Selection
    kinds: tuple[Kind, ...] = ()  # rows that it decides on; empty: all

    @property
    def text(self) -> str:
        """Its settings for people, the limits that it sets by itself among them; else what it does."""
        settings = self.step.model_dump(exclude={"name", "on"}, exclude_none=True)
        told = [f"{key}={value}" for key, value in settings.items() if len(str(value)) <= LONG]
        if told or not isinstance(self.step, Filter):
            return ", ".join(told)
        limits = [f"{column} {_limits(*pair)}" for column, pair in self.step.bounds().items()]
        return ", ".join(limits) or " ".join((type(self.step).__doc__ or "").split("\n\n")[0].split())


@dataclass(frozen=True)
class Pass:
    """One fused pass: signals and, between them, filters that spare later ones. Rules below `after` are decided."""

    signals: tuple[Node, ...]
    rules: tuple[Rule, ...] = ()
    after: int = 0
    kind: str = "pass"


@dataclass(frozen=True)
class Global:
    """A pool fact: fit on the pool, then one column file per shard; or a fact about documents, one file per shard.

    `after`: with `compute: needed` it sees the rows that the rules below this number leave; None: all rows. What earlier
    runs happened to compute must not show in it.
    """

    node: Node
    after: int | None = None
    kind: str = "fact"


@dataclass(frozen=True)
class Fit:
    """A selection learns its threshold from the rows that the rules before it leave."""

    rule: Rule
    kind: str = "fit"


Phase = Pass | Global | Fit


@dataclass
class Plan:
    """Everything that a run does, in order. `giver` maps a column to the node that gives it."""

    recipe: Recipe
    rules: tuple[Rule, ...]
    nodes: tuple[Node, ...]
    giver: dict[str, Node]
    phases: list[Phase] = field(default_factory=list)
    places: dict[str, int | None] = field(default_factory=dict)  # a fact -> it sees what the rules below leave, or all
    before: dict[str, tuple[str, ...]] = field(default_factory=dict)  # a document fact -> signals computed before it

    @property
    def documents(self) -> bool:
        """Whether the pool's rows are documents and their nodes."""
        return self.recipe.source.documents

    @property
    def notes(self) -> list[str]:
        """What steps have to say beforehand."""
        steps = [(node.label, node.step) for node in self.nodes] + [(rule.label, rule.step) for rule in self.rules]
        return [f"{label}: {step.note()}" for label, step in steps if step.note()]

    @property
    def synth(self) -> list[Node]:
        """Nodes that synthesise."""
        return [node for node in self.nodes if isinstance(node.step, Synth)]

    def late(self, node: Node) -> bool:
        """Whether it reads, at first or second hand, a fact of the pool: then what it gives depends on more than the row."""
        givers = [self.giver[column] for column in node.inputs if column in self.giver]
        return any(isinstance(giver.step, PoolFact) or self.late(giver) for giver in givers)


def make_plan(recipe: Recipe) -> Plan:
    """Check that each needed column is given, and arrange the phases."""
    nodes = _sorted_nodes(recipe)
    giver = {column: node for node in nodes for column in node.columns.values()}
    known = [*giver, *index_columns(recipe)]
    for step in recipe.select:
        for column in step.inputs():
            _check(known, column, recipe.label(step))
    rules = tuple(
        Rule(i, recipe.label(step), step, _kinds(step, recipe, giver)) for i, step in enumerate(recipe.select)
    )
    plan = Plan(recipe, rules, nodes, giver)
    for column in recipe.header.export.columns:
        _check(known, column, "export")
    check_export(recipe, giver)
    plan.phases = _Phases(plan).arrange()
    return plan


def index_columns(recipe: Recipe) -> tuple[str, ...]:
    """Columns that any step may read without a signal giving them."""
    return (*INDEX_COLUMNS, *NODE_COLUMNS) if recipe.source.documents else INDEX_COLUMNS


def _check(columns: Iterable[str], column: str, reader: str) -> None:
    if column in columns:
        return
    known = givers(column)
    hint = f" Add `- step: {known[0]}` to signals." if known else nearest(column, columns)
    raise RecipeError(f"{reader} needs the column {column!r}, which no step of the recipe gives.{hint}")


def _sorted_nodes(recipe: Recipe) -> tuple[Node, ...]:
    """All column-giving steps, inputs before users, with fingerprints. A later step never changes an earlier one."""
    steps: list[Signal | PoolFact] = [*recipe.signals, *recipe.facts, *recipe.synth]
    if recipe.exporters and not any(isinstance(step, Signal) and step.image in DECODED for step in steps):
        steps.insert(0, _decode_check())
    index = index_columns(recipe)
    waiting = [_node(step, recipe) for step in steps]
    owner: dict[str, str] = {}
    for node in waiting:
        for column in node.columns.values():
            if column in owner or column in index:
                other = owner.get(column, "the index")
                raise RecipeError(f"{node.label} and {other} both give {column!r}; rename one: {{{column}: another}}")
            owner[column] = node.label
    done: dict[str, Node] = {}
    order: list[Node] = []
    while waiting:
        ready = [n for n in waiting if all(c in done or c in index for c in n.inputs)]
        if not ready:
            for node in waiting:
                for column in node.inputs:
                    _check([*owner, *index], column, node.label)
            raise RecipeError(f"these steps need each other's columns: {', '.join(n.label for n in waiting)}")
        node = _fingerprinted(ready[0], done, recipe)
        waiting.remove(ready[0])
        order.append(node)
        done |= dict.fromkeys(node.columns.values(), node)
    return tuple(order)


def _decode_check() -> Signal:
    from curate.catalog import resolve_step

    return resolve_step(DECODE_CHECK)(name="decodes")  # type: ignore[return-value]


def _node(step: Signal | PoolFact, recipe: Recipe) -> Node:
    given = list(step.gives())
    unknown = [name for name in step.rename if name not in given]
    label = recipe.labels.get(id(step), step.name or step_path(step))
    if unknown:
        raise RecipeError(f"{label}: rename of {unknown[0]!r}, which it does not give.{nearest(unknown[0], given)}")
    return Node(label, step, {name: step.rename.get(name, name) for name in given})


def _kinds(step: Step, recipe: Recipe, giver: dict[str, Node]) -> tuple[Kind, ...]:
    """Rows that a step is about: what the recipe says, what its class says, what the columns that it reads are about."""
    label = recipe.labels.get(id(step), step_path(step))
    if not recipe.source.documents:
        if step.on is not None or isinstance(step, DocumentFact):
            raise RecipeError(f"{label} is about rows of documents, and this pool holds pairs: leave it out, or `on:`")
        return ()
    if step.on is not None:
        return (step.on,) if isinstance(step.on, str) else tuple(step.on)
    if step.kinds:
        return step.kinds
    if isinstance(step, Signal) and step.image is not None:
        return ("image",)
    about = [set(giver[column].kinds) for column in step.inputs() if column in giver]
    if not about:
        raise RecipeError(
            f"{label} could be about documents, texts or images: say `on: document` (whose text is the title; "
            f"what it says as a whole is document_text, by stages.documents.text.WholeText), `on: text` or `on: image`"
        )
    common = set.intersection(*about)
    if not common:
        raise RecipeError(f"{label} reads columns of different kinds of rows: no row has them all")
    return tuple(kind for kind in ("document", "text", "image") if kind in common)


def _fingerprinted(node: Node, done: dict[str, Node], recipe: Recipe) -> Node:
    node = replace(node, kinds=_kinds(node.step, recipe, done))
    inputs = {column: done[column].fingerprint for column in node.inputs if column in done}
    context: list[object] = []
    if isinstance(node.step, Signal) and node.step.image in DECODED:
        context.append(recipe.header.max_megapixels)
    if isinstance(node.step, (Synth, PoolFact)):
        context.append(recipe.header.seed)
    if node.kinds:
        context.append(node.kinds)
    return replace(node, fingerprint=fingerprint(node.step, inputs, context))


class _Phases:
    """Walks the rules once and opens, fills and closes passes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.done: set[str] = set()
        self.phases: list[Phase] = []
        self.signals: list[Node] = []
        self.rules: list[Rule] = []
        self.after = 0

    def arrange(self) -> list[Phase]:
        every = self.plan.recipe.header.compute == "all"
        for node in self.plan.nodes:
            page = isinstance(node.step, DocumentFact) and node.step.sees == "page"
            if (page or every) and not self._waits(node):
                self._give(node)
        self._close(0)
        for rule in self.plan.rules:
            for column in rule.step.inputs():
                if column in self.plan.giver:
                    self._give(self.plan.giver[column])
            if isinstance(rule.step, Selection):
                self._close(rule.number)
                self.phases.append(Fit(rule))
                self.after = rule.number + 1
            else:
                self.rules.append(rule)
        synth = [node for node in self.plan.nodes if node.label not in self.done]
        if any(isinstance(node.step, Synth) for node in synth):
            self._close(len(self.plan.rules))  # synthesis is for samples that every rule keeps
        for node in synth:
            self._give(node)
        self._close(len(self.plan.rules))
        return self.phases

    def _waits(self, node: Node) -> bool:
        """Whether it is synthesis or about what rules leave of a document, or reads such columns."""
        own = isinstance(node.step, Synth) or (isinstance(node.step, DocumentFact) and node.step.sees == "kept")
        return own or any(self._waits(self.plan.giver[c]) for c in node.inputs if c in self.plan.giver)

    def _give(self, node: Node) -> None:
        """Make sure that the node is computed before whatever comes next."""
        if node.label in self.done:
            return
        for column in node.inputs:
            if column in self.plan.giver:
                self._give(self.plan.giver[column])
        if isinstance(node.step, PoolFact):
            self._close(self.after + len(self.rules))
            every = self.plan.recipe.header.compute == "all" and not self._waits(node)
            after = None if every and not isinstance(node.step, DocumentFact) else self.after
            self.plan.places[node.label] = after
            self.plan.before[node.label] = tuple(sorted(self.done))
            self.phases.append(Global(node, after))
        else:
            self.signals.append(node)
        self.done.add(node.label)

    def _close(self, decided: int) -> None:
        """End the open pass; rules below `decided` are decided by then."""
        if self.signals:
            self.phases.append(Pass(tuple(order_ops(self.signals)), tuple(self.rules), self.after))
        self.signals, self.rules, self.after = [], [], max(self.after, decided)


def _limits(low: float | None, high: float | None) -> str:
    """`>= 3`, `<= 0.5`, `3 to 9`."""
    if low is None:
        return f"<= {high:g}"
    return f">= {low:g}" if high is None else f"{low:g} to {high:g}"


def group(node: Node) -> int:
    """Cheapest first: 0 columns and encoded bytes, 1 decoded images on CPU workers, 2 models."""
    step = node.step
    assert isinstance(step, Signal)
    return 2 if step.lane == "model" else 1 if step.image in DECODED else 0


def order_ops(nodes: Iterable[Node]) -> list[Node]:
    """Inputs before users, then by group and cost; ties keep the recipe's order."""
    waiting = list(nodes)
    inside = {column for node in waiting for column in node.columns.values()}
    done: set[str] = set()
    order: list[Node] = []
    while waiting:
        ready = [n for n in waiting if all(c in done or c not in inside for c in n.inputs)]
        best = min(ready, key=lambda n: (group(n), n.step.cost if isinstance(n.step, Signal) else 0))
        waiting.remove(best)
        order.append(best)
        done |= set(best.columns.values())
    return order


def describe(step: Step) -> str:
    """`filters.text.CaptionLength(min_words=3)`."""
    fields = step.model_dump(exclude_defaults=True, exclude={"name"})
    return f"{step_path(step)}({', '.join(f'{key}={value!r}' for key, value in fields.items())})"
