import click


@click.command("list")
@click.argument("what", type=click.Choice(["backbones", "methods", "recipes"]))
def command(what):
    """List the known backbones, methods or recipes."""
    from eesmm_keras.quiet import quiet

    with quiet():
        {"backbones": _backbones, "methods": _methods, "recipes": _recipes}[what]()


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
