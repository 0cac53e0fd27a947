"""The list of checks with their reasons. Each names the function that carries it out, imported when it is run."""

from __future__ import annotations

from avbench.harness.testing.check import Check

FITS = ("scores-sound",)
REPEATS = ("scores-sound", "scores-repeatable")

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
        name="options-documented",
        reason="A row on the board names its options; a reader must be able to look up what each means and may be.",
        remedy="Give every option a Field with a description that ends with a full stop, and every number a lower and "
        "an upper bound (ge or gt, le or lt).",
        function="declarations:options_documented",
        needs=(),
    ),
    Check(
        name="presets-valid",
        reason="Presets decide the options of a run that names none; a misspelt one would silently not be used.",
        remedy="Use names of options, data sets (ucf, activitynet, vggsound) and protocols (aligned, as-published) "
        "that exist, and values within the bounds of the options.",
        function="declarations:presets_valid",
        needs=(),
    ),
    Check(
        name="torch-free-import",
        reason="Every avbench command loads all plugins; one that imports torch makes all of them seconds slower.",
        remedy="Import torch, and whatever imports it, inside the functions that use it; for annotations under "
        "if TYPE_CHECKING.",
        function="declarations:torch_free_import",
        needs=(),
    ),
    Check(
        name="scores-sound",
        reason="The harness calibrates and compares scores; it can use only one finite number for each clip and class.",
        remedy="Let fit run on the given training set and predict return a float tensor (clips, classes) without NaN, "
        "on the device of the clips. Nearly every other check needs this one.",
        function="scores:scores_sound",
        needs=("presets-valid",),
    ),
    Check(
        name="scores-repeatable",
        reason="A result is verified by computing it again; scores that change from call to call have no result.",
        remedy="Switch dropout and batch statistics off in predict (net.eval()), draw nothing at random there, and "
        "leave the fitted state alone.",
        function="scores:scores_repeatable",
        needs=FITS,
    ),
    Check(
        name="inputs-untouched",
        reason="All methods and epochs share one copy of the features in memory; a change would reach every later row.",
        remedy="Work on a copy: x = x - m instead of x -= m, and no function whose name ends with an underscore on "
        "a tensor that came in.",
        function="scores:inputs_untouched",
        needs=FITS,
    ),
    Check(
        name="settings-untouched",
        reason="Methods run one after another in one process; a changed setting would change the rows of the others.",
        remedy="Leave global settings of torch, NumPy and the environment alone, or change them in a with block that "
        "restores them, such as torch.enable_grad().",
        function="conduct:settings_untouched",
        needs=FITS,
    ),
    Check(
        name="no-network",
        reason="A row must be reproducible on a machine without a network, from the features that it names.",
        remedy="Ship what the method needs in its package; download nothing in fit or predict. What was connected to "
        "is named above.",
        function="conduct:no_network",
        needs=FITS,
    ),
    Check(
        name="no-writes",
        reason="Runs share a folder and happen side by side; files that a method leaves there could leak between them.",
        remedy="Keep what is learned in state(), which the harness saves; use the tempfile module for anything else.",
        function="conduct:no_writes",
        needs=FITS,
    ),
    Check(
        name="deterministic",
        reason="The same seed must give the same row, or nobody can verify it.",
        remedy="Draw from torch's global generator, or from one seeded with progress.seed; keep nothing in the class "
        "or module between fits, and use no time of day and no order of a set.",
        function="learning:deterministic",
        needs=REPEATS,
    ),
    Check(
        name="seeds-differ",
        reason="Intervals on the board come from seeds; seeds that all do the same would make them look like zero.",
        remedy="Do not seed a generator with a constant: the harness has seeded the global ones, and progress.seed "
        "is there for your own.",
        function="learning:seeds_differ",
        needs=("deterministic",),
    ),
    Check(
        name="class-counts",
        reason="Data sets and stages have from a handful to hundreds of classes.",
        remedy="Take the number of classes from len(train.classes) in fit and from len(classes) in predict; "
        "the two differ.",
        function="sizes:class_counts",
        needs=FITS,
    ),
    Check(
        name="batch-sizes",
        reason="The number of clips is never a multiple of the batch size, and a small data set has fewer than one.",
        remedy="Handle a last batch that is smaller, down to one clip, and a batch size beyond the number of clips.",
        function="sizes:batch_sizes",
        needs=FITS,
    ),
    Check(
        name="text-widths",
        reason="Label vectors have 300 numbers with word2vec but other widths with every other text encoder.",
        remedy="Take the width from train.classes.vectors.shape[1].",
        function="sizes:text_widths",
        needs=FITS,
    ),
    Check(
        name="feature-widths",
        reason="Features have 512 numbers on some tracks, 128 and 4096 on others, and audio and vision may differ.",
        remedy="Take the widths from train.clips.audio.shape[1] and train.clips.visual.shape[1].",
        function="sizes:feature_widths",
        needs=FITS,
    ),
    Check(
        name="one-clip",
        reason="A last chunk of clips may hold a single one, and so does every use of a method outside the board.",
        remedy="Give (1, classes) for one clip: no squeeze() without a dimension, no statistics over the batch.",
        function="scores:one_clip",
        needs=FITS,
    ),
    Check(
        name="clips-independent",
        reason="Scores that use the other test clips are another task (transductive) and not comparable to other rows.",
        remedy="Compute statistics such as means and norms in fit, from training clips, or for each clip alone; never "
        "over the clips that predict is given.",
        function="scores:clips_independent",
        needs=REPEATS,
    ),
    Check(
        name="order-independent",
        reason="Test files are often sorted by class; scores that depend on a clip's place can use its true label.",
        remedy="Treat every clip alike, whatever its row: no use of the row number, no state from row to row.",
        function="scores:order_independent",
        needs=REPEATS,
    ),
    Check(
        name="candidates-independent",
        reason="ZSL and GZSL numbers come from one table of scores; that is sound if a class's score is its own.",
        remedy="Use no softmax or normalisation over the candidate classes; or, where the method is like that, declare "
        "scores_depend_on_candidates=True in info.",
        function="scores:candidates_independent",
        needs=REPEATS,
    ),
    Check(
        name="unseen-names",
        reason="A method that saw the unseen classes' names in training solves an easier task; the board marks it.",
        remedy="Declare uses_unseen_names=True in info, or leave train.unseen alone.",
        function="scores:unseen_names",
        needs=("deterministic",),
    ),
    Check(
        name="state-restored",
        reason="A saved model that scores differently from the one that was evaluated is not the model of that row.",
        remedy="Return from state() every tensor that predict uses, also buffers and statistics, and take all of them "
        "back in load_state, which must draw nothing at random.",
        function="saving:state_restored",
        needs=REPEATS,
    ),
    Check(
        name="beats-chance",
        reason="A method that cannot learn an easy task in a small budget has a fault that a long run would only hide.",
        remedy="Look at the sign of the scores (higher is better), at the loss, at whether parameters are trained, and "
        "at whether unseen classes are scored from their label vectors.",
        function="learning:beats_chance",
        needs=FITS,
    ),
    Check(
        name="options-effective",
        reason="An option that does nothing makes two different rows of the same thing.",
        remedy="Use the option or drop it. One that acts on scores only, or only beside others, says so: "
        'Field(..., json_schema_extra={"no_effect": "reason", "effect_with": {"other": value}}).',
        function="effects:options_effective",
        needs=("options-documented", "deterministic"),
    ),
    Check(
        name="padding-ignored",
        reason="A clip is padded as far as the longest one beside it; what is behind its steps is no part of it.",
        remedy="Mask what lies beyond clips.time.audio_lengths and visual_lengths in attention, means and norms.",
        function="over_time:padding_ignored",
        needs=REPEATS,
    ),
    Check(
        name="one-step",
        reason="The shortest clips have a single step of audio or of video.",
        remedy="Divide by no difference of steps, and take no variance over time without a floor.",
        function="over_time:one_step",
        needs=FITS,
    ),
    Check(
        name="uneven-lengths",
        reason="Audio and video have steps of different length, so a clip has not as many of the one as of the other.",
        remedy="Keep audio and visual lengths apart, and let a clip's scores depend on its own only.",
        function="over_time:uneven_lengths",
        needs=REPEATS,
    ),
    Check(
        name="averaged-too",
        reason="A method that declares also_averaged runs on averaged tracks, where clips have no time.",
        remedy="Take clips.time=None, audio (N, Da) and visual (N, Dv) as clips of one step; or declare "
        "also_averaged=False in info.",
        function="over_time:averaged_too",
        needs=FITS,
    ),
    Check(
        name="memory-stable",
        reason="A board of many runs happens in one process; what each leaves in memory ends the last ones.",
        remedy="Keep what belongs to a fit in the instance (self), not in the class, the module or an unbounded cache.",
        function="conduct:memory_stable",
        needs=FITS,
    ),
    Check(
        name="cuda",
        reason="The rows of the board are computed on GPUs.",
        remedy="Create tensors on progress.device or on the device of the clips; read nothing back inside a training "
        "step; return scores on the device of the clips.",
        function="conduct:cuda",
        needs=REPEATS,
    ),
    Check(
        name="interrupt-recovered",
        reason="Runs are interrupted and started again; what an interrupted one leaves must not reach the next.",
        remedy="Keep everything that changes during a fit in the instance, and restore global settings in a finally "
        "block or a with statement.",
        function="learning:interrupt_recovered",
        needs=("deterministic",),
    ),
)
