"""The features have come to lie in few directions."""

# Directions that are too few in any case, and against the first measurement.
_FEW, _SHARE = 2.0, 0.25


def after_epoch(rows):
    ranks = [row["effective_rank"] for row in rows if "effective_rank" in row]
    if not ranks or ranks[-1] >= max(_FEW, _SHARE * ranks[0]):
        return None
    return (
        f"The features lie in {ranks[-1]:.1f} directions (effective rank; {ranks[0]:.1f} at the first "
        "look): they have collapsed, and images can hardly be told apart by them. Try a lower learning "
        "rate or a higher mask ratio."
    )
