"""The report: pure functions of a finished Comparison and its Evidence. `write_report` puts every file into one folder.

comparison, evidence -> tables (HTML, CSV, Parquet, LaTeX), figures (SVG), a page (HTML), a summary (Markdown), the record itself (JSON)
"""

from qbias.report.files import write_report
from qbias.report.markdown import summary_markdown

__all__ = ["summary_markdown", "write_report"]
