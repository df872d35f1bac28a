"""The table of a benchmark."""

import statistics

from eesmm_keras.studies.benchmark.cases import DENSE, PEER

COLUMNS = (
    "name", "framework", "jit", "batch", "images_per_s", "spread", "ratio_to_fastest_dense",
    "gmacs_per_image", "flop_bound", "flop_bound_share", "peak_mb", "first_call_s",
)  # fmt: skip


def rows(cases, anchor, batch):
    """One dict per measured case, with the columns of `results.csv`, fastest first."""
    done = [case for case in cases if case.ratios and not case.failure]
    speed = {
        id(case): batch / statistics.median(anchor.seconds) * statistics.median(case.ratios)
        for case in done
    }
    dense = [speed[id(case)] for case in done if case.is_dense]
    dense_macs = next((case.macs for case in done if case.method == DENSE), None)
    result = []
    for case in done:
        ratio = speed[id(case)] / max(dense) if dense else None
        macs = dense_macs if case.name == PEER else case.macs
        bound = dense_macs / macs if dense_macs and macs else None
        result.append(
            {
                "name": case.name,
                "framework": case.framework,
                "jit": case.jit,
                "batch": batch,
                "images_per_s": _round(speed[id(case)], 2),
                "spread": _round(max(case.ratios) / min(case.ratios) - 1, 2),
                "ratio_to_fastest_dense": _round(ratio, 2),
                "gmacs_per_image": _round(macs and macs / 1e9, 3),
                "flop_bound": _round(bound, 2),
                "flop_bound_share": _round(ratio / bound if ratio and bound else None, 3),
                "peak_mb": round(case.peak_mb),
                "first_call_s": _round(case.first_call_s, 1),
            }
        )
    return sorted(result, key=lambda row: -row["images_per_s"])


def _round(value, digits):
    return "" if value is None else round(value, digits)


def as_table(rows):
    """Markdown table of the rows."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(str(row[name]) for name in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)
