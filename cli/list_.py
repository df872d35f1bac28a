import functools

import click

from eesmm_keras.cli._families import FAMILIES, show_members


def _backbones():
    from eesmm_keras.backbones import all_presets

    for name, (cls, preset) in all_presets().items():
        arguments = ", ".join(f"{key}={value}" for key, value in preset.items())
        click.echo(f"{name:22} {cls.__name__}: {arguments}")


def _methods():
    from eesmm_keras import methods

    for name in methods.names():
        click.echo(f"{name:12} {methods.get(name).__doc__.strip().splitlines()[0]}")


def _recipes():
    from eesmm_keras.training.settings import read_recipe, recipe_names

    for name in recipe_names():
        _, text = read_recipe(name)
        first = text.splitlines()[0].lstrip("# ")
        click.echo(f"{name:28} {first}")


def _tables():
    from eesmm_keras.reproductions.tables import read_table, table_names

    for name in table_names():
        click.echo(f"{name:28} {read_table(name).title}")


def _settings():
    from eesmm_keras.training.settings.fields import FinetuneSettings, PretrainSettings, Schedule
    from eesmm_keras.training.settings.kinds import is_optional, kind_of

    titles = {
        Schedule: "pretrain and finetune",
        PretrainSettings: "pretrain; beside these, the arguments of the method",
        FinetuneSettings: "finetune",
    }
    for cls, title in titles.items():
        click.echo(f"{title}:")
        for name in cls.__annotations__:  # those that it declares itself
            if name == "method_args":
                continue
            field, annotation = cls.model_fields[name], cls.kinds()[name]
            words = kind_of(annotation).words + ", or null" * is_optional(annotation)
            default = f" Default: {field.default}." if field.default not in (None, "") else ""
            click.echo(f"  {name:22} {field.description} Takes {words}.{default}")


_LISTS = {
    "backbones": _backbones,
    "methods": _methods,
    "recipes": _recipes,
    "settings": _settings,
    "tables": _tables,
    **{family: functools.partial(show_members, family) for family in FAMILIES},
}


@click.command("list")
@click.argument("what", type=click.Choice(list(_LISTS)))
def command(what):
    """List what is known, plug-ins included, or all settings with their ranges."""
    from eesmm_keras.quiet import quiet

    with quiet():
        _LISTS[what]()
