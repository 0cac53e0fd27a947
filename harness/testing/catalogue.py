"""The list of checks with their reasons. Each names the function that carries it out, imported when it is run."""

from __future__ import annotations

from avbench.harness.testing.check import Check

CHECKS = (
    Check(
        name="metadata-complete",
        reason="The board cites a method, links its paper and says what it was allowed to see; that must be there.",
        remedy="Fill in every field of info: title, year, a summary that ends with a full stop, a citation with the "
        "year, and a BibTeX entry with author, title and year.",
        function="declarations:metadata_complete",
        needs=(),
    ),
    Check(
        name="scores-sound",
        reason="The harness calibrates and compares scores; it can use only one finite number for each clip and class.",
        remedy="Let fit run on the given training set and predict return a float tensor (clips, classes) without NaN, "
        "on the device of the clips. Nearly every other check needs this one.",
        function="scores:scores_sound",
        needs=(),
    ),
    Check(
        name="inputs-untouched",
        reason="All methods and epochs share one copy of the features in memory; a change would reach every later row.",
        remedy="Work on a copy: x = x - m instead of x -= m, and no function whose name ends with an underscore on "
        "a tensor that came in.",
        function="scores:inputs_untouched",
    ),
)
