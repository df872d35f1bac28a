"""Messages about names that are not known."""

import difflib


def unknown_name(kind, name, known):
    """`Unknown backbone 'swin_tinny'. Did you mean 'swin_tiny'? Known: ...`."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"Unknown {kind} {name!r}.{hint} Known: {', '.join(known)}."


def check_choice(argument, value, known):
    """Raise a ValueError that lists the known values unless `value` is one of them."""
    if value not in known:
        raise ValueError(unknown_name(argument, value, known))
