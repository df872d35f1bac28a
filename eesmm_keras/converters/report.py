"""What became of each array in an import, as a table for the screen and for the run's folder."""

from dataclasses import dataclass, field

MATCHED, INTERPOLATED, CONVERTED, MISSING = "matched", "interpolated", "converted", "missing"


@dataclass
class Row:
    """One variable of ours.

    Attributes:
        ours: its path. theirs: the names in the file, or "". shape: ours.
        state: "matched" (the same numbers, transposed or joined at most), "interpolated" (another
            size), "converted" (other arithmetic; `note` says which) or "missing" (kept as it was).
        encoder: whether it belongs to the encoder, of which the coverage speaks.
    """

    ours: str
    theirs: str
    shape: tuple
    state: str
    note: str = ""
    encoder: bool = True

    @property
    def numbers(self):
        product = 1
        for side in self.shape:
            product *= side
        return product


@dataclass
class Report:
    """An import.

    Attributes:
        where, layout: of the source. licence: as it states it, or None.
        public_licence: what is known of the public weights in this layout.
        rows: list of `Row`. left_over: names in the file that nothing asked for.
        notes: lines of what else a user should know.
    """

    where: str
    layout: str
    licence: str | None = None
    public_licence: str = ""
    rows: list = field(default_factory=list)
    left_over: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    @property
    def coverage(self):
        """Share of the encoder's numbers that came from the source, 0..1."""
        rows = [row for row in self.rows if row.encoder]
        filled = sum(row.numbers for row in rows if row.state != MISSING)
        return filled / max(1, sum(row.numbers for row in rows))

    @property
    def licence_line(self):
        """The licence in one line; "unknown" is said."""
        if self.licence:
            return self.licence
        known = f" ({self.public_licence})" if self.public_licence else ""
        return f"unknown{known}"

    def facts(self):
        """Plain YAML types for config.yaml."""
        return {
            "source": self.where,
            "layout": self.layout,
            "licence": self.licence_line,
            "coverage": round(self.coverage, 6),
        }

    def summary(self):
        """The table on the screen: one line per state, and what needs a look."""
        lines = [f"Weights of {self.where} ({self.layout}; licence: {self.licence_line})"]
        for state in (MATCHED, INTERPOLATED, CONVERTED, MISSING):
            rows = [row for row in self.rows if row.state == state]
            numbers = sum(row.numbers for row in rows)
            lines.append(f"  {state:13}{len(rows):5} arrays {numbers:13,} numbers{_examples(rows)}")
        shown = ", ".join(self.left_over[:3]) + (", ..." if len(self.left_over) > 3 else "")
        lines.append(
            f"  {'left over':13}{len(self.left_over):5} arrays{f'  {shown}' if shown else ''}"
        )
        lines.append(f"  {self.coverage:.1%} of the encoder's numbers")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def table(self):
        """Markdown with one line per variable, for the run's folder."""
        lines = [
            f"# Weights of {self.where}",
            "",
            f"Layout: {self.layout}. Licence: {self.licence_line}. "
            f"Coverage: {self.coverage:.2%} of the encoder's numbers.",
            *[f"\n{note}" for note in self.notes],
            "",
            "| ours | shape | state | theirs | note |",
            "|---|---|---|---|---|",
        ]
        for row in self.rows:
            shape = " x ".join(map(str, row.shape))
            lines.append(f"| {row.ours} | {shape} | {row.state} | {row.theirs} | {row.note} |")
        lines += ["", f"Left over in the source: {len(self.left_over)}", ""]
        lines += [f"- {name}" for name in self.left_over]
        return "\n".join(lines) + "\n"


def _examples(rows):
    """Reasons or names of some rows, where the state is not the plain one."""
    if not rows or rows[0].state == MATCHED:
        return ""
    notes = list(dict.fromkeys(row.note for row in rows if row.note))
    shown = notes or [row.ours for row in rows]
    return "  " + "; ".join(shown[:3]) + ("; ..." if len(shown) > 3 else "")
