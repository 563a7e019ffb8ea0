r"""The paper's tables in LaTeX, with booktabs and colours; whatever comes from the data is escaped.

They need \usepackage{booktabs}, \usepackage{multirow} and \usepackage[table]{xcolor}.
"""

from collections.abc import Sequence

from qbias.comparison import Cell
from qbias.report.tables import Table, TableRow, cell_texts, significance

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "−": "$-$", "…": r"\ldots{}",
    "[": "{[}", "]": "{]}", "\n": " ", "\r": " ", '"': r"\textquotedbl{}",
}  # fmt: skip
SHADE = {"95": r"\cellcolor{green!25}", "90": r"\cellcolor{yellow!40}", "": ""}
HEAD = "% needs \\usepackage{booktabs}, \\usepackage{multirow} and \\usepackage[table]{xcolor}\n"


def latex_text(text: str) -> str:
    r"""Text that LaTeX prints as it is.

    Examples
    --------
    >>> print(latex_text("bnb_int8 & 4 % −.021"))
    bnb\_int8 \& 4 \% $-$.021
    """
    return "".join(SPECIAL.get(letter, letter) for letter in text)


def latex_table(table: Table, *, note: str) -> str:
    """One of the paper's tables as a LaTeX table; a comment where its benchmark was not measured.

    Parameters
    ----------
    table : as in the page. note : what stands below its caption, such as that nothing is corrected.
    """
    if not table.rows:
        return f"{HEAD}% Table {table.number} is empty: {latex_text(table.benchmark)} was not measured in this comparison.\n"
    count = len(table.statistics)
    spans = "".join(rf" & \multicolumn{{2}}{{c}}{{{latex_text(name)}}}" for name in table.statistics)
    rules = "".join(rf"\cmidrule(lr){{{3 + 2 * place}-{4 + 2 * place}}}" for place in range(count))
    caption = latex_text(f"{table.caption} {note}")
    lines = [
        r"\begin{table*}", r"\centering\small", rf"\caption{{{caption}}}", rf"\label{{tab:qbias-{table.number}}}",
        rf"\begin{{tabular}}{{ll{'rr' * count}}}", r"\toprule", rf"Quant method & Demographic{spans} \\", rules,
        "& & " + " & ".join(["$p$ & 95\\,\\% CI"] * count) + r" \\", *_body(table.rows), r"\bottomrule", r"\end{tabular}",
        r"\end{table*}",
    ]  # fmt: skip
    return HEAD + "\n".join(lines) + "\n"


def _body(rows: Sequence[TableRow]) -> list[str]:
    lines = []
    for row in rows:
        method = rf"\multirow[t]{{{row.span}}}{{*}}{{{latex_text(row.label)}}}" if row.span else ""
        lines.append(" & ".join([method, latex_text(row.demographic), *map(_cell, row.cells)]) + r" \\")
    return [line for place, line in enumerate(lines) for line in (([r"\midrule"] if rows[place].span else []) + [line])]


def _cell(cell: Cell) -> str:
    """p-value and interval; bold where the p-value is below .05."""
    found = cell_texts(cell)
    if not found:
        return r"\multicolumn{2}{c}{no test}"
    level = significance(cell)
    return " & ".join(SHADE[level] + (rf"\textbf{{{latex_text(text)}}}" if level == "95" else latex_text(text)) for text in found)
