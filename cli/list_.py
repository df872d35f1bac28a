import click


@click.command("list")
@click.argument("what", type=click.Choice(["backbones", "methods", "recipes"]))
def command(what):
    """List the known backbones, methods or recipes."""
    from eesmm_keras.quiet import quiet

    with quiet():
        {"backbones": _backbones, "methods": _methods, "recipes": _recipes}[what]()


def _backbones():
    from eesmm_keras.backbones.presets import SWIN_PRESETS, VIT_PRESETS

    for name, preset in sorted(SWIN_PRESETS.items()):
        size, window = preset["image_shape"][0], preset["window_size"]
        depths = "-".join(map(str, preset["depths"]))
        click.echo(
            f"{name:22} {size} pixels, window {window}, width {preset['embed_dim']}, blocks {depths}"
        )
    for name, preset in VIT_PRESETS.items():
        size, patch = preset.get("image_shape", (224,))[0], preset.get("patch_size", 16)
        click.echo(
            f"{name:22} {size} pixels, patch {patch}, width {preset['dim']}, blocks {preset['depth']}"
        )


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
