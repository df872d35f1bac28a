import click

from eesmm_keras.cli._types import PATH


@click.command("push")
@click.argument("export", type=PATH)
@click.argument("where", metavar="hf://OWNER/NAME")
@click.option("--private", is_flag=True, help="A repository that is made is private.")
def command(export, where, private):
    """Upload an export, its model card and its parity to the Hugging Face hub, in one commit.

    EXPORT is a file or folder that eesmm export wrote. Needs pip install 'eesmm-keras[hub]' and a login
    (hf auth login, or HF_TOKEN). See eesmm docs exports.
    """
    from eesmm_keras.exports.push import push_export

    click.echo(push_export(export, where, private=private, say=click.echo))
