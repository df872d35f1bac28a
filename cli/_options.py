"""Options that several commands share; those of settings come from the settings' declarations."""

import re

import click

from eesmm_keras.cli._types import SettingType
from eesmm_keras.training.settings.fields import PretrainSettings

SOURCE_KEYS = ("data_dir", "max_image_pixels", "follow_links")
_ASKED_KEYS = ("tile", "overlap", "split")


def setting_options(cls, only=None, required=()):
    """Decorator: one option for each setting that is declared with one.

    Args:
        cls: class of settings.
        only: names of the settings to take; None: all. required: those that must be given.
    """

    def decorate(function):
        for name, field in reversed(cls.model_fields.items()):
            word = (field.json_schema_extra or {}).get("option")
            if word is not None and (only is None or name in only):
                function = _option(cls, name, field, word, name in required)(function)
        return function

    return decorate


def _option(cls, name, field, word, required):
    flag = "--" + name.replace("_", "-")
    text = field.description
    if field.default is not None and field.default != "":
        default = "no" if field.default is False else field.default
        text += f" Default: {default}."
    if word == "":
        return click.option(f"{flag}/--no{flag[1:]}", default=None, help=text)
    kind = SettingType(cls, name)
    return click.option(flag, type=kind, metavar=word, required=required, help=text)


def training_options(cls, **which):
    """Decorator: the options of settings (see `setting_options`), `--recipe` and `--set`."""

    def decorate(function):
        function = click.option(
            "--set", "assignments", multiple=True, metavar="KEY=VALUE",
            help="Any setting (eesmm list settings), or argument of the method; can be repeated.",
        )(function)  # fmt: skip
        function = click.option("--recipe", metavar="NAME|FILE", help="Settings to start from.")(
            function
        )
        return setting_options(cls, **which)(function)

    return decorate


data_option = setting_options(PretrainSettings, only=("data", "data_dir"), required=("data",))
# Of every command that reads a folder which need not be trusted.
source_options = setting_options(PretrainSettings, only=("max_image_pixels", "follow_links"))


def tile_options(function):
    """Decorator: --tile and --overlap, of commands that ask about images of any size."""
    kind = SettingType(PretrainSettings, "tile")
    for option in (
        click.option(
            "--overlap", type=click.FloatRange(0, 1, max_open=True), metavar="SHARE",
            help="Of a tile's side that it has in common with the next one, such as 0.5.",
        ),
        click.option(
            "--tile", type=kind, metavar="N|H,W",
            help="Slide over each image in tiles of so many pixels, and average. Default: the tile of "
            "the model's training, if it had one.",
        ),
    ):  # fmt: skip
        function = option(function)
    return function


def names_callback(context, parameter, value):
    """`a, b:weights=[1, 2]` -> `("a", "b:weights=[1, 2]")`, as a click callback."""
    parts = re.split(r",(?![^\[]*\])", value)
    names = tuple(part.strip() for part in parts if part.strip())
    if not names:
        raise click.BadParameter(f"expected names, separated by commas; got {value!r}.")
    return names


def where_from(options):
    """The arguments of `open_source` that were given on the command line, and --tile, --overlap and
    --split of commands that have them among `options`."""
    keys = (*SOURCE_KEYS, *_ASKED_KEYS)
    return {key: options[key] for key in keys if options.get(key) is not None}


def settings_from(kind, recipe, assignments, begins=True, **options):
    """Settings from the options that were given on the command line; then Keras is imported.

    Args:
        kind, recipe, assignments: see `settings.resolve`.
        begins: bool, whether a run is begun (or gone on with) in the folder `out`.
    """
    from eesmm_keras.quiet import load_backend
    from eesmm_keras.training import beforehand

    given = {key: value for key, value in options.items() if value is not None}
    beforehand.check_settings(kind, recipe, assignments, given)
    if begins:
        beforehand.check_folder(kind, recipe, assignments, given)
    load_backend()
    if kind == "pretrain":
        from eesmm_keras.training.automatic import resolve_automatically

        return resolve_automatically(recipe, assignments, given, say=click.echo)
    from eesmm_keras.training.settings import resolve

    return resolve(kind, recipe, assignments, given)
