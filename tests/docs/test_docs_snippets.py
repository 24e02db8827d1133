"""What README.md and docs/ show works: every Python and console block is run, offline."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from snippets import EXECUTED, SnippetError, blocks_of, run_all, same_output

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("**/*.md"))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh clone to whoever only reads: the examples are there, nothing else."""
    for name in ("examples", "experiments"):
        if (PROJECT / name).exists():
            (tmp_path / name).symlink_to(PROJECT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TROTH_DATA", raising=False)
    return tmp_path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_blocks_run(document: Path, folder: Path) -> None:
    blocks = blocks_of(document)
    wanted = [b for b in blocks if b.language in EXECUTED and b.not_run is None]
    assert run_all(blocks, folder) == len(wanted)


def test_the_readme_shows_code_that_is_run() -> None:
    """Marks are for what cannot run here, such as `make`, not a way out for everything."""
    blocks = [block for block in blocks_of(PROJECT / "README.md") if block.language in EXECUTED]
    assert any(block.not_run is None for block in blocks)


def test_blocks_that_are_not_run_say_why(capsys: pytest.CaptureFixture[str]) -> None:
    """`pytest -s` shows the list."""
    marked = [block for path in DOCUMENTS for block in blocks_of(path) if block.not_run is not None]
    with capsys.disabled():
        for block in marked:
            print(f"\n{block.place} is not run: {block.not_run}", end="")
    assert all(block.not_run for block in marked)


def document(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text, encoding="utf-8")
    return path


def test_blocks_share_a_namespace_and_a_folder(folder: Path) -> None:
    page = document(
        folder,
        "```python\nfrom pathlib import Path\nx = 2\n```\n\ntext\n\n"
        "```python\nPath('made').write_text(str(x + 1))\n```\n\n"
        "```console\n$ cat made\n3\n```\n",
    )
    assert run_all(blocks_of(page), folder) == 3


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ("```python\nraise RuntimeError('as shown')\n```", "as shown"),
        ("```console\n$ echo one\ntwo\n```", "printed\none"),
        ("```console\n$ echo one\n$ false\n```", "false ended with 1"),
        ("```console\n$ echo fine\nerror: not fine\n```", "echo fine ended with 0"),
        ("```console\nstray\n```", "begins with output"),
        ("```console\n$ no-such-command-at-all\n```", "ended with 127"),
    ],
)
def test_a_wrong_block_is_noticed(folder: Path, block: str, says: str) -> None:
    with pytest.raises((SnippetError, RuntimeError), match=says):
        run_all(blocks_of(document(folder, block)), folder)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<!-- not run: -->\n\n```python\nx\n```", "page.md:1 does not say why"),
        ("<!-- not run -->\n\n```python\nx\n```", "page.md:1 does not say why"),
        ("<!-- not run: no such tool -->\n\nText.\n\n```python\nx\n```", "marks no block"),
        ("<!-- not run: no such tool -->", "marks no block"),
        ("```bash\nls\n```", "page.md:1 is bash"),
    ],
)
def test_a_wrong_mark_is_noticed(folder: Path, text: str, says: str) -> None:
    with pytest.raises(SnippetError, match=says):
        blocks_of(document(folder, text))


def test_a_marked_block_is_left_alone(folder: Path) -> None:
    page = document(folder, "<!-- not run: it fails -->\n```console\n$ false\n```\n")
    blocks = blocks_of(page)
    assert [block.not_run for block in blocks] == ["it fails"]
    assert run_all(blocks, folder) == 0


def test_commands_may_go_on_and_may_fail_as_shown(folder: Path) -> None:
    page = document(
        folder,
        "```console\n$ echo one \\\n  two\none two\n$ echo error: no >&2; exit 3\nerror: no\n```\n",
    )
    assert run_all(blocks_of(page), folder) == 1


def test_console_blocks_have_no_data_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROTH_DATA", os.fspath(folder))
    page = document(folder, "```console\n$ echo data: $TROTH_DATA.\ndata: .\n```\n")
    assert run_all(blocks_of(page), folder) == 1


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a ... c\n", "a b c\n", True),
        ("first\n...\nlast\n", "first\nx\ny\nlast\n", True),
        ("...\nlast\n", "x\nlast\n\n", True),
        ("a\n", "a\nb\n", False),
        ("a  b\n", "a b\n", False),
    ],
)
def test_output_is_compared_with_wildcards(shown: str, printed: str, same: bool) -> None:
    assert same_output(shown, printed) == same
