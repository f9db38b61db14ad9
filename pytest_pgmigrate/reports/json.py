"""The JSON report: the whole document, documented and versioned."""

from __future__ import annotations

import json

from pytest_pgmigrate.reports._document import Document


class JsonReport:
    """``--pgmigrate-report=json:FILE``."""

    name = "json"

    def render(self, document: Document) -> str:
        """The document with two spaces of indentation and a newline at the end."""
        return json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n"


REPORT = JsonReport()
