"""What book/tools makes of the notebooks and pages on their way into the book."""

import re
import subprocess
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from execute import execute, select_parameters, typed
from myst import to_myst
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from papermill.exceptions import PapermillExecutionError
from repository import PLACEHOLDER, repository_url, stage_config
from stage import make_tree, write_tree
from staged_notebook import heads_in_scope, show_used_parameters, stage_notebook

PICTURE = {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo="}}


def code(source: str, *outputs: dict, **metadata: object) -> nbformat.NotebookNode:
    return new_code_cell(
        source, metadata=metadata, outputs=[new_output(**output) for output in outputs]
    )


@pytest.mark.parametrize(
    ("plain", "book"),
    [
        ("see [@lin2014coco; @chan2021entropy].", "see {cite:p}`lin2014coco,chan2021entropy`."),
        ("Figure: [the scores](#fig-a-b) show", "{numref}`Figure %s <fig-a-b>` (the scores) show"),
        ("so do [the scores](#fig-a-b).", "so do the scores ({numref}`Figure %s <fig-a-b>`)."),
        ("equation [3.1](#eq-entropy)", "equation {eq}`eq-entropy`"),
        ("[the entropy](#eq-entropy)", "the entropy {eq}`eq-entropy`"),
        (
            "> **Goals.** One\n>\n> - $x$\n\nAfter",
            ":::{admonition} Goals\n:class: goals\n\nOne\n\n- $x$\n:::\n\nAfter",
        ),
        (
            "> **In the thesis.** It\n> says.",
            ":::{admonition} In the thesis\n:class: thesis\n\nIt\nsays.\n:::",
        ),
        (
            "<details><summary>Solution</summary>\n\n$$1$$\n\n</details>",
            "::::{admonition} Solution\n:class: dropdown\n\n$$1$$\n::::",
        ),
    ],
)
def test_plain_markdown_becomes_the_books(plain: str, book: str) -> None:
    assert to_myst(plain) == book


@pytest.mark.parametrize(
    "text",
    [
        "`[@key]` and `[a](#fig-a)`",
        "```python\n[@key]\n> **Goals.** no\n```",
        "$$a_{[@b]} [c](#eq-c)$$",
        "$[@b]$",
        "> An ordinary **Goals.** quotation",
        "[a page](02_x.ipynb#fig)",
        "[@key](elsewhere)",
    ],
)
def test_code_formulas_and_ordinary_markdown_are_left_alone(text: str) -> None:
    assert to_myst(text) == text


def test_links_in_an_outputs_html_lead_to_pages() -> None:
    html = '<a href="06_x.ipynb#here">a</a> <a href="https://x.org/y.ipynb">b</a> z.ipynb'
    output = {"output_type": "execute_result", "data": {"text/html": html}}
    staged = stage_notebook(new_notebook(cells=[new_markdown_cell("# T"), code("1", output)]), "x")
    expected = html.replace("06_x.ipynb", "06_x.html")
    assert staged.cells[1].outputs[0].data == {"text/html": expected}


def test_bars_of_progress_are_left_out_and_warnings_are_not() -> None:
    states = ["\repoch 1:   0%", "\repoch 1: 100%\n", "\n", "a warning\n\r50%\r100%\n"]
    outputs = [{"output_type": "stream", "name": "stderr", "text": text} for text in states]
    outputs.append({"output_type": "stream", "name": "stdout", "text": "a result\n"})
    cell = code("1", *outputs)
    staged = stage_notebook(new_notebook(cells=[new_markdown_cell("# T"), cell]), "x")
    assert [each.text for each in staged.cells[1].outputs] == ["a warning\n", "a result\n"]


def test_each_admonition_ends_where_its_quotation_ends() -> None:
    staged = to_myst("> **Note.** One.\n\n> **Warning.** Two [@key].\n\n> Three.\n\nFour.")
    assert staged == (
        ":::{admonition} Note\n:class: note\n\nOne.\n:::\n\n"
        ":::{admonition} Warning\n:class: warning\n\nTwo {cite:p}`key`.\n:::\n\n> Three.\n\nFour."
    )


def test_notebook_loses_times_paths_widgets_and_its_own_number() -> None:
    widget = {
        "output_type": "display_data",
        "data": {"application/vnd.jupyter.widget-view+json": {}},
    }
    warning = {
        "output_type": "stream",
        "name": "stderr",
        "text": "/home/a/x.py:3: UserWarning: look\n  f()\n",
    }
    cell = code(
        "f()",
        widget,
        warning,
        papermill={"duration": 1.0},
        execution={"shell.execute_reply": "2024-01-01"},
    )
    cell.metadata.mystnb = {"figure": {"caption": "After [@key].", "name": "fig-x"}}
    notebook = new_notebook(
        cells=[new_markdown_cell("# 3 Scores"), cell], metadata={"papermill": {}, "widgets": {}}
    )
    staged = stage_notebook(notebook, "03_x.ipynb")
    assert staged.metadata == {}
    assert staged.cells[0].source == "# Scores"
    assert cell.metadata == {
        "mystnb": {"figure": {"caption": "After {cite:p}`key`.", "name": "fig-x"}}
    }
    assert [output.text for output in cell.outputs] == ["UserWarning: look\n  f()\n"]


def test_picture_without_alternative_text_is_refused() -> None:
    def staged(**metadata: object) -> nbformat.NotebookNode:
        cells = [new_markdown_cell("# 1 A"), code("plt.plot(x)\nplt.show()", PICTURE, **metadata)]
        return stage_notebook(new_notebook(cells=cells), "01_a.ipynb")

    with pytest.raises(ValueError, match=r"01_a\.ipynb.*'plt\.plot\(x\)'.*alternative"):
        staged()
    with pytest.raises(ValueError, match="alternative"):
        staged(mystnb={"image": {"alt": " "}})
    assert staged(mystnb={"image": {"alt": "A line."}}).cells[1].outputs
    assert staged(tags=["remove-output"]).cells[1].outputs


def test_a_line_that_myst_takes_for_a_comment_is_refused() -> None:
    text = nbformat.v4.new_markdown_cell("# 1. Title\n\nThe share is 80\n% of the pixels.")
    with pytest.raises(
        ValueError, match=r"01_a\.ipynb: the line '% of the pixels\.' would be left out"
    ):
        stage_notebook(nbformat.v4.new_notebook(cells=[text]), "01_a.ipynb")


def test_parameters_cell_shows_the_values_that_were_used() -> None:
    parameters = code(
        'profile = "miniature"  # settings\nseed = 0\nthreshold: float = 0.7', tags=["parameters"]
    )
    injected = code(
        '# Parameters\nseed = 3\nprofile = "a#b"\nthreshold = 0.5', tags=["injected-parameters"]
    )
    notebook = new_notebook(cells=[parameters, injected, code("print(seed)")])
    show_used_parameters(notebook)
    assert [cell.source for cell in notebook.cells] == [
        "profile = 'a#b'  # settings\nseed = 3\nthreshold: float = 0.5",
        "print(seed)",
    ]


def test_repository_address_comes_from_the_remote_where_it_is_on_github(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert repository_url(tmp_path) is None
    config = {
        "repository": {"branch": "main"},
        "launch_buttons": {"colab_url": "https://colab"},
        "html": {"a": 1},
    }
    alone = stage_config(config, None)
    assert (
        not any(alone["launch_buttons"].values())
        and "repository" not in alone
        and alone["html"]["a"] == 1
    )
    for address in (
        "git@github.com:some/book.git",
        "https://github.com/some/book",
        "https://github.com/some/book.git",
    ):
        subprocess.run(["git", "-C", str(tmp_path), "remote", "add", "origin", address], check=True)
        assert repository_url(tmp_path) == "https://github.com/some/book"
        subprocess.run(["git", "-C", str(tmp_path), "remote", "remove", "origin"], check=True)
    staged = stage_config(config, "https://github.com/some/book")
    assert staged == config | {
        "repository": {"branch": "main", "url": "https://github.com/some/book"}
    }


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one page and one executed notebook."""
    for folder in ("book/_static", "notebooks", "_build/executed"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "_config.yml").write_text("title: A\n")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    (tmp_path / "book/index.md").write_text("# A [@key]\n")
    (tmp_path / "book/_static/book.css").write_text("p {}")
    for folder in ("notebooks", "_build/executed"):
        nbformat.write(
            new_notebook(cells=[new_markdown_cell("# 1 A", id="a")]),
            tmp_path / folder / "01_a.ipynb",
        )
    return tmp_path


def test_tree_has_the_repositorys_shape(repository: Path) -> None:
    tree = make_tree(repository, repository / "_build/executed")
    drawn = {name for name in tree if name.startswith("book/_static/mathjax/")}
    assert "book/_static/mathjax/tex-chtml-full.js" in drawn and len(drawn) == 24  # and its fonts
    assert sorted(tree.keys() - drawn) == [
        "_config.yml",
        "_toc.yml",
        "book/_static/book.css",
        "book/index.md",
        "notebooks/01_a.ipynb",
    ]
    assert tree["book/index.md"] == b"# A {cite:p}`key`\n"
    assert yaml.safe_load(tree["_config.yml"])["title"] == "A"


def test_pages_and_notebooks_name_the_repository_where_it_is_known(repository: Path) -> None:
    (repository / "book/index.md").write_text(f"Clone {PLACEHOLDER} first.\n")
    install = nbformat.v4.new_code_cell(f'REPOSITORY = "{PLACEHOLDER}"', id="install")
    notebook = new_notebook(cells=[new_markdown_cell("# 1 A", id="a"), install])
    nbformat.write(notebook, repository / "_build/executed/01_a.ipynb")
    names = ("book/index.md", "notebooks/01_a.ipynb")
    tree = make_tree(repository, repository / "_build/executed")
    assert all(PLACEHOLDER.encode() in tree[name] for name in names)
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    remote = ["remote", "add", "origin", "https://github.com/some/book.git"]
    subprocess.run(["git", "-C", str(repository), *remote], check=True)
    tree = make_tree(repository, repository / "_build/executed")
    assert all(b"https://github.com/some/book" in tree[name] for name in names)
    assert not any(PLACEHOLDER.encode() in tree[name] for name in names)


ANSWERS = """
"1.1":
  kind: choice
  ask: Which?
  options: {a: This., b: That.}
  answer: b
  because: It is that.
  wrong: {a: Look again.}
"""


def test_a_check_becomes_a_form_and_its_solution_is_not_in_the_tree(repository: Path) -> None:
    said = {"output_type": "stream", "name": "stdout", "text": "Put your answer"}
    cell = code('check("1.1", ...)  # your answer in place of the dots', said, tags=["check"])
    notebook = new_notebook(cells=[new_markdown_cell("# 1 A", id="a"), cell])
    nbformat.write(notebook, repository / "_build/executed/01_a.ipynb")
    with pytest.raises(ValueError, match=r"01_a\.ipynb: book/answers has nothing for"):
        make_tree(repository, repository / "_build/executed")
    (repository / "book/answers").mkdir()
    (repository / "book/answers/01.yml").write_text(ANSWERS)
    tree = make_tree(repository, repository / "_build/executed")
    staged = nbformat.reads(tree["notebooks/01_a.ipynb"].decode(), as_version=4)
    assert [cell.cell_type for cell in staged.cells] == ["markdown", "markdown"]
    assert '<form class="check check-choice"' in staged.cells[1].source
    assert not any(b"It is that." in content for content in tree.values())


def test_only_what_changed_is_staged_again(repository: Path) -> None:
    stage = repository / "_build/stage"

    def restage() -> bool:
        return write_tree(make_tree(repository, repository / "_build/executed"), stage)

    assert restage()
    before = {
        path: path.stat().st_mtime_ns
        for path in [*stage.rglob("*.*"), stage.with_suffix(".digest")]
    }
    assert not restage()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    (repository / "book/index.md").write_text("# B\n")
    (repository / "book/_static/book.css").unlink()
    assert restage()
    changed = {path for path in before if path.exists() and path.stat().st_mtime_ns != before[path]}
    assert changed == {stage / "book/index.md", stage.with_suffix(".digest")}
    assert not (stage / "book/_static/book.css").exists()


def test_interrupted_staging_counts_as_changed(repository: Path) -> None:
    tree = make_tree(repository, repository / "_build/executed")
    stage = repository / "_build/stage"
    write_tree(tree, stage)
    stage.with_suffix(".digest").write_text("of another tree")
    assert write_tree(tree, stage)


KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


@pytest.fixture
def notebooks(tmp_path: Path) -> Path:
    """Two notebooks that share one parameter."""
    for name, source in {"01_a": "seed = 0", "02_b": "seed = 0\nlambda_ = 0.9"}.items():
        cells = [code(source, tags=["parameters"]), code("print(10 // seed)")]
        nbformat.write(new_notebook(cells=cells, metadata=KERNEL), tmp_path / f"{name}.ipynb")
    return tmp_path


def test_each_notebook_takes_the_parameters_it_has(notebooks: Path) -> None:
    wanted = {"seed": 1, "lambda_": 0.5}
    assert select_parameters(notebooks / "01_a.ipynb", wanted) == {"seed": 1}
    assert select_parameters(notebooks / "02_b.ipynb", wanted) == wanted
    with pytest.raises(ValueError, match=r"'sed'.*Did you mean 'seed'\?.*lambda_, seed"):
        select_parameters(notebooks / "01_a.ipynb", {"sed": 1})


def test_values_are_read_as_python_reads_them() -> None:
    read = {"1": 1, "1e-5": 1e-5, "None": None, "miniature": "miniature", "/a b": "/a b"}
    assert {value: typed(value) for value in read} == read


def test_executed_notebook_appears_only_when_all_of_it_ran(notebooks: Path) -> None:
    result = notebooks / "executed/01_a.ipynb"
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):
        execute(notebooks / "01_a.ipynb", result, {})
    assert not result.exists()
    execute(notebooks / "01_a.ipynb", result, {"seed": 5})
    assert nbformat.read(result, as_version=4).cells[-1].outputs[0].text == "2\n"
    assert [path.name for path in result.parent.iterdir()] == ["01_a.ipynb"]


@pytest.mark.parametrize(("seconds", "is_saved"), [(0, True), (60, False)])
def test_what_ran_is_saved_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, is_saved: bool
) -> None:
    monkeypatch.setattr("execute.SECONDS", seconds)
    result = tmp_path / "executed.ipynb"
    so_far = f"open({str(tmp_path / 'executed.unfinished.ipynb')!r}).read()"
    cells = [code("print(6000 * 7)"), code(f"print(str(6000 * 7) in {so_far})")]
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), tmp_path / "a.ipynb")
    execute(tmp_path / "a.ipynb", result, {})
    printed = [cell.outputs[0].text for cell in nbformat.read(result, as_version=4).cells]
    assert printed == ["42000\n", f"{is_saved}\n"]


def test_where_the_panels_lie_goes_with_the_picture() -> None:
    panels = {"inches": 9.04, "boxes": [[0, 0, 0.48, 1], [0.48, 0, 1, 1]]}
    shown = PICTURE | {"metadata": {"image/png": panels}}
    cell = code("plot()", shown, mystnb={"image": {"alt": "Two lines."}})
    notebook = new_notebook(cells=[new_markdown_cell("# Title"), cell])
    image = stage_notebook(notebook, "a.ipynb").cells[1].metadata["mystnb"]["image"]
    assert image == {"alt": "Two lines.", "classes": "panels-90-0-0-480-1000-480-0-1000-1000"}


def test_heads_of_tables_say_what_they_head() -> None:
    table = pd.DataFrame({"a": [1]}, index=pd.Index(["x"], name="row"))
    for html in (table.to_html(), table.style.to_html()):
        staged = heads_in_scope(html)
        heads = re.findall(r"<th([^>]*)>([^<]*)</th>", staged)
        named = {name: of for of, name in heads if name.strip() not in ("", "&nbsp;")}
        assert {name: re.search('scope="(.*?)"', of)[1] for name, of in named.items()} == {
            "a": "col",
            "row": "col",
            "x": "row",
        }
        assert heads_in_scope(staged) == staged
