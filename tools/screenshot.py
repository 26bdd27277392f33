"""Makes a picture of the top of a report.

> python tools/screenshot.py demo/convtasnet_ES/report.html report.png

Needs Chromium or Google Chrome.

Authors
 * The PolSESS recipe team 2026
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTH, HEIGHT = 1200, 3360  # pixels: facts, table, plots, an example
MAX_BYTES = 500_000


def main(page, picture):
    """Writes a PNG of at most MAX_BYTES; ends the program where it cannot.

    Arguments
    ---------
    page : str
        The HTML file.
    picture : str
        The PNG file to write.
    """
    if not pathlib.Path(page).is_file():
        sys.exit(f"There is no report at {page}")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(
            "A picture of the report needs Chromium or Google Chrome and none "
            "was found; install one, for instance: sudo apt install chromium"
        )
    with tempfile.TemporaryDirectory() as folder:
        taken = pathlib.Path(folder, "taken.png")
        command = [
            browser,
            "--headless=new",
            "--no-sandbox",  # the page is our own; containers have no sandbox
            "--hide-scrollbars",
            f"--window-size={WIDTH},{HEIGHT}",
            f"--screenshot={taken}",
            pathlib.Path(page).resolve().as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not taken.is_file():
            sys.exit(f"The browser took no picture:\n{done.stderr}")
        image = Image.open(taken).convert("RGB")
        image.quantize(256).save(picture, optimize=True)
    size = pathlib.Path(picture).stat().st_size
    if size > MAX_BYTES:
        sys.exit(f"{picture} has {size:,} bytes, more than {MAX_BYTES:,}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Usage: python tools/screenshot.py REPORT_HTML OUT_PNG")
    main(*sys.argv[1:])
