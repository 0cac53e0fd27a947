"""``avbench analyse tsne | hyperbolicity | norms``: what lies in the embeddings of test clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from avbench.analysis.analysis import Analysis
from avbench.analysis.cli.options import (
    analysis_command,
    protocol_option,
    runs_argument,
    seed_option,
    subjects,
    subjects_of,
    track_option,
)
from avbench.harness.cli.selection import results_option
from avbench.harness.errors import UsageError
from avbench.harness.extras import require

if TYPE_CHECKING:
    from avbench.harness.records.results import ResultsFolder


@analysis_command
@runs_argument
@track_option
@protocol_option
@click.option("--figure", help="Classes and panels of a paper's figure, such as avca-2022/figure-3.")
@click.option("--class", "names", multiple=True, metavar="NAME", help="A class; may be repeated.")
@click.option(
    "--panel",
    "panels",
    multiple=True,
    metavar="NAME",
    help="An embedding: raw-audio, raw-visual, audio, visual, fused, ...; visual+common adds the classes as crosses.",
)
@click.option("--perplexity", default=30.0, show_default=True, type=click.FloatRange(1, 1000), help="Of t-SNE.")
@click.option("--iterations", default=1000, show_default=True, type=click.IntRange(250, 100_000), help="Of t-SNE.")
@click.option("--most", default=100, show_default=True, type=click.IntRange(2, 10_000), help="Clips of a class.")
@seed_option
@results_option
def tsne(
    runs: Sequence[str],
    track: str | None,
    protocol: str,
    figure: str | None,
    names: Sequence[str],
    panels: Sequence[str],
    perplexity: float,
    iterations: int,
    most: int,
    seed: int,
    folder: ResultsFolder,
) -> Analysis:
    """Test clips of some classes laid out in two dimensions by t-SNE, a panel for each embedding and run.

    Beside each panel stands the silhouette of the true classes in the original space. Runs must be of one track.
    """
    from avbench.analysis.measures import tsne as measure
    from avbench.analysis.paper_figures import paper_figure

    chosen = paper_figure(figure) if figure else None
    require("sklearn", "analysis", "t-SNE is laid out by scikit-learn")
    found = subjects(folder, runs, track, protocol)
    first = found[0]
    if any(s.track != first.track or not (s.labels == first.labels).all() for s in found):
        raise UsageError("panels show the same clips: name runs of one track")
    if chosen and not names and chosen.track.partition("/")[0] != first.track.dataset:
        raise UsageError(f"figure {figure} shows classes of {chosen.track}, these are features of {first.track}")
    names = names or (chosen.classes if chosen else ())
    if not names:
        raise UsageError("name classes with --class NAME, or take those of a paper with --figure")
    classes = first.named(list(dict.fromkeys(names)))
    rows = measure.chosen_clips(first.labels, classes, most, seed)
    of_candidates = {c.id: row for row, c in enumerate(first.candidates)}
    members = [of_candidates[c.id] for c in classes]
    laid: dict[str, measure.Panel] = {}
    for subject in found:
        wanted = panels or (chosen.panels if chosen else (subject.usual,))
        for panel in wanted:
            of_clips, _, of_classes = panel.partition("+")
            if of_clips.startswith("raw-"):  # the same in all runs
                title = of_clips
            else:
                title = f"{of_clips}, {subject.name}" if len(found) > 1 else of_clips
            crosses = subject.of_classes(of_classes)[members] if of_classes else None
            laid.setdefault(title, measure.Panel(title, subject.of_clips(of_clips)[rows], crosses))
    how = measure.Settings(perplexity, iterations, seed)
    return measure.analyse(first, list(laid.values()), classes, first.labels[rows], how)


@analysis_command
@runs_argument
@track_option
@protocol_option
@click.option("--on", "embeddings", multiple=True, metavar="NAME", help="An embedding. [default: the visual one]")
@click.option("--clips", default=1500, show_default=True, type=click.IntRange(1, 20_000), help="Clips of a draw.")
@click.option("--draws", default=10, show_default=True, type=click.IntRange(1, 1000), help="Draws of clips.")
@seed_option
@results_option
def hyperbolicity(
    runs: Sequence[str],
    track: str | None,
    protocol: str,
    embeddings: Sequence[str],
    clips: int,
    draws: int,
    seed: int,
    folder: ResultsFolder,
) -> Analysis:
    """Relative delta-hyperbolicity of test clips, seen and unseen together: 0 for a tree, 1 at most.

    Each draw has one base point; the largest value over all base points is at most twice as large.

    By its definition, 2 delta / diameter, and as the public code of Hong et al. (2023) has it: half of that.
    """
    from avbench.analysis.measures import hyperbolicity as measure

    found = subjects(folder, runs, track, protocol)
    drawn = {
        f"{subject.name}, {name}": measure.measure(subject.of_clips(name), clips=clips, draws=draws, seed=seed)
        for subject in found
        for name in embeddings or (subject.usual,)
    }
    return measure.analyse(drawn, any(subject.simulated for subject in found))


@analysis_command
@runs_argument
@seed_option
@results_option
def norms(runs: Sequence[str], seed: int, folder: ResultsFolder) -> Analysis:
    """Lengths of the audio and visual encodings of test clips; of the hyper methods also how many their map cuts, and
    how large the gradient of the alignment is beside the whole one."""
    from avbench.analysis.gradients import gradient_norms
    from avbench.analysis.measures import norms as measure

    found = subjects_of(folder, runs)
    of_runs = {s.name: measure.lengths(s.clips, gradient_norms(s, seed), s.name) for s in found}
    return measure.analyse(of_runs, any(subject.simulated for subject in found))
