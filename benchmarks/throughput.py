"""Training throughput: the same as `eesmm benchmark`; see its --help."""

from eesmm_keras.cli.benchmark import command

if __name__ == "__main__":
    command()
