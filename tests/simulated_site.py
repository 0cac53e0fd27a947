"""A results folder with everything that a site can show, and the site built from it."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from simulated_results import configuration_of, record_of, simulated_run, store

from avbench.harness.plugins.registry import plugins
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.tracks import Track

UCF = Track("ucf", "main")
METHODS = ("avca", "ale", "sje")


def preset_runs() -> Iterator[tuple[RunRecord, bytes]]:
    """Built-in methods with their presets on a real and a simulated track, and a stranger with other features."""
    for number, method in enumerate(METHODS):
        for track, protocol in (
            (UCF, "aligned"),
            (UCF, "as-published"),
            (Track("ucf", "cls"), "as-published"),
            (Track("ucf", "demo"), "aligned"),
        ):
            presets = plugins().methods[method].method.Options.effective(track, protocol)
            for seed in range(3):
                yield simulated_run(
                    method,
                    track,
                    protocol,
                    seed,
                    0.2 + 0.2 * number,
                    options=presets.model_dump(mode="json"),
                    clips=3 if track.simulated else None,
                )
    yield simulated_run("stranger", UCF, "aligned", 0, 0.5, variant="wide")
    yield simulated_run("stranger", UCF, "aligned", 0, 0.5, feature_hash="ab" * 32)


def results(root: Path) -> ResultsFolder:
    """The folder, with a failed run and one record that lies."""
    folder = store(root, list(preset_runs()))
    folder.save(record_of(configuration_of("ale", UCF, "aligned", 9)), None)
    liar, evidence = simulated_run("liar", UCF, "aligned", 0, 0.1)
    assert liar.outcome is not None
    metrics = liar.outcome.metrics.model_copy(update={"HM": 99.0})
    folder.save(liar.model_copy(update={"outcome": liar.outcome.model_copy(update={"metrics": metrics})}), evidence)
    return folder


class Document(HTMLParser):
    """What tests ask of a page. Raises AssertionError where tags do not nest."""

    VOID = frozenset({"meta", "link", "br", "hr", "img", "input", "col", "wbr"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self._cell = False
        self.feed(html)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), f"<{tag}> repeats an attribute"
        self.tags.append((tag, attributes))
        if identity := attributes.get("id"):
            self.ids.append(identity)
        self.links += [value for name in ("href", "src") if (value := attributes.get(name))]
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        self._cell = tag in ("td", "th") or self._cell
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> closes <{self._open[-1]}>"
        self._open.pop()
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][-1] += data
