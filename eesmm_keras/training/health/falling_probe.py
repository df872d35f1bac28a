"""The probe on frozen features does worse than it once did."""

# What an accuracy may fall below its best by chance: points, and a share of the best.
_POINTS, _SHARE = 0.05, 0.1


def after_epoch(rows):
    for name in [name for name in rows[-1] if name.endswith("_accuracy")]:
        values = [row[name] for row in rows if name in row]
        best = max(values)
        if values[-1] < best - max(_POINTS, _SHARE * best):
            return (
                f"{name} fell to {values[-1]:.3f}; it was {best:.3f} after epoch "
                f"{values.index(best) + 1}. The features get worse for these labels: a lower learning "
                "rate or another mask ratio may help, and so may ending earlier."
            )
    return None
