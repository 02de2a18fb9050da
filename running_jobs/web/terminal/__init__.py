"""Logs as a terminal shows them: `Terminal` turns output into lines of styled text, `line_to_html` these into HTML.

style and widths say how a character looks and how wide it is, row and screen where it stands; parser takes bytes apart.
"""

from __future__ import annotations

from running_jobs.web.terminal.html import line_to_html, line_to_text, palette_css
from running_jobs.web.terminal.style import Line, Run, Style
from running_jobs.web.terminal.terminal import Terminal

__all__ = ["Line", "Run", "Style", "Terminal", "line_to_html", "line_to_text", "palette_css"]
