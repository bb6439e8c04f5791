"""Exit with 0 if the server is ready to speak."""

import os
import sys
import urllib.error
import urllib.request

port = os.environ.get("TUTORTOIETTS_SERVE_PORT", "8880")
try:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=4) as answer:
        sys.exit(answer.status != 200)
except (urllib.error.URLError, OSError):
    sys.exit(1)
