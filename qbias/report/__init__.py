"""The report: pure functions of a finished Comparison. `write_report` puts every file into one folder.

comparison -> tables (CSV, HTML, Parquet), Figure 1 (SVG, PNG), a page (HTML), a summary (Markdown), the record itself (JSON)
"""

from qbias.report.files import write_report
from qbias.report.summary import summary_markdown

__all__ = ["summary_markdown", "write_report"]
