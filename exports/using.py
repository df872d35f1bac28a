"""The program in a model card that runs an export, for what its task answers."""

import re

# The central crop, as evaluation takes it of images larger than the model's.
_CROP = re.compile(r"ImageOps\.fit\(image, (.*), bleed=[^)]*\)")
_PRINT = re.compile(r"""print\((.*"class_names"\]\)?)\[(.*)\.argmax\(\)\]\)""")


def example_for(task, example):
    """A format's example, which ends in printing the name of one class, for another task.

    Args:
        task: "segmentation", "detection", or anything else: one class an image.
        example: of the `Format`.
    """
    if task in ("segmentation", "detection"):  # these see whole images
        example = _CROP.sub(r"image.resize(\1)", example).replace("Image, ImageOps", "Image")
    if task == "segmentation":
        return _PRINT.sub(r"mask = \2[0].argmax(-1)", example)
    if task == "detection":
        example = example.replace("(logits,)", "boxes, scores").replace(
            '(["logits"]', '(["boxes", "scores"]'
        )
        return _PRINT.sub(lambda found: "\n".join(_best_box(*found.groups())), example)
    return example


def _best_box(names, output):
    """Lines that print the most probable box, by what names the classes and the output of one."""
    if output != "logits":
        both = (output.replace("logits", name) for name in ("boxes", "scores"))
        yield f"boxes, scores = {', '.join(both)}"
    yield "best = scores[0].max(-1).argmax()"
    yield f"print({names}[scores[0, best].argmax()], boxes[0, best])"
