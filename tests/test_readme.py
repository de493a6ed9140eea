"""The README's blocks run, in order, in one namespace, and print what they say they print."""

import contextlib
import io
import re
from pathlib import Path

import dualtape

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```(python|text)\n(.*?)```", README, re.DOTALL)


def test_blocks_print_what_the_readme_says():
    scope = {}
    printed = None
    compared = 0
    for kind, text in BLOCKS:
        if kind == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(text, "README.md", "exec"), scope)
            printed = out.getvalue()
        else:
            assert printed.split() == text.split()
            compared += 1
    assert compared == 6


def test_two_setup_commands():
    [setup] = re.findall(r"<!-- setup -->\n```sh\n(.*?)```\n<!-- end setup -->", README, re.DOTALL)
    install, tests = setup.strip().splitlines()
    assert install.endswith("examples/nist_regression.py")
    assert "pytest" in tests


def test_table_names_public_transforms():
    rows = re.findall(r"^\| `(.*)` \|", README, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"\w+", row)}
    missing = {name for name in dir(dualtape) if callable(getattr(dualtape, name))}
    missing = {
        n for n in missing if not n.startswith("_") and not n.endswith(("Error", "Warning"))
    } - named
    assert not missing
