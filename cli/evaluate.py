import os

import click

from eesmm_keras.cli._families import MemberOf
from eesmm_keras.cli._options import data_option, source_options, tile_options, where_from
from eesmm_keras.cli._types import PATH


@click.command("evaluate")
@data_option
@click.option(
    "--weights", type=PATH, required=True, metavar="RUN|FILE|hf://...[,OTHER]",
    help="See eesmm docs weights. Two, separated by a comma, are compared on the same images.",
)  # fmt: skip
@click.option(
    "--mode",
    type=MemberOf("eesmm_keras.evaluation.probes:PROBES", others=("accuracy",)),
    default="accuracy",
    show_default=True,
    help="accuracy: what the fine-tuned model scores. Others: fitted on frozen features of the train "
    "images, with arguments if need be, such as knn:k=5.",
)
@click.option("--split", type=click.Choice(["test", "val"]), default="test", show_default=True)
@tile_options
@source_options
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
@click.option(
    "--out", type=PATH, metavar="DIR",
    help="Write metrics.json there, and tables, figures and the worst mistakes.",
)  # fmt: skip
def command(data, weights, mode, split, batch_size, out, **options):
    """Score a classifier (or another fine-tuned model), or the frozen features of an encoder.

    \b
    eesmm evaluate --data labelled/ --weights runs/classifier --out runs/classifier/evaluation
    eesmm evaluate --data labelled/ --weights runs/a,runs/b
    eesmm evaluate --data labelled/ --weights runs/photos --mode knn
    """
    from eesmm_keras.errors import UserError
    from eesmm_keras.evaluation.folder import check_folder
    from eesmm_keras.quiet import load_backend
    from eesmm_keras.training.beforehand import check_places

    several = [weights] if os.path.exists(weights) else weights.split(",")
    if len(several) > 2 or not all(several):
        raise UserError(f"--weights takes one or two, separated by a comma; got {weights!r}.")
    for one in several:
        check_places(data, weights=one)
    folder = check_folder(out) if out else None
    load_backend()
    from eesmm_keras.training.evaluating import evaluate

    where = where_from(options)
    found = [evaluate(data, one, mode, split, batch_size, click.echo, **where) for one in several]
    for one, (findings, source) in zip(several, found, strict=True):
        _show(one if len(several) > 1 else None, findings, source)
    facts = {"data": data, "split": split, "mode": mode}
    if len(several) == 1:
        if folder:
            _write(folder, *found[0], {**facts, "weights": weights})
        return
    lines, numbers = found[0][0].compare(found[1][0])
    for line in lines:
        click.echo(line)
    if folder:
        from eesmm_keras.evaluation.folder import write_metrics

        for name, one, pair in zip(("first", "second"), several, found, strict=True):
            _write(folder / name, *pair, {**facts, "weights": one})
        write_metrics(folder, {**facts, "weights": several, **numbers})


def _show(name, findings, source):
    from eesmm_keras.names import counted
    from eesmm_keras.training.bad_images import bad_images_line

    for line in (name and f"{name}:", source.note, bad_images_line(source)):
        if line:
            click.echo(line)
    for title, value in findings.scores.items():
        click.echo(f"{title} {value:.4f} on {counted(len(source.good_indices()), 'image')}")
    for line in findings.lines():
        click.echo(line)


def _write(folder, findings, source, facts):
    from eesmm_keras.evaluation.folder import write_findings
    from eesmm_keras.training.evaluating import save_mistakes

    mistakes = findings.mistakes(1) and (lambda file: save_mistakes(findings, source, file))
    write_findings(folder, findings, facts, {"mistakes.png": mistakes})
    click.echo(f"Files       {folder}")
