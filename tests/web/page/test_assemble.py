"""How the page's sources become one file, and what is said of one that breaks a rule."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from web.page.assemble import assembled
from web.page.errors import PageError
from web.page.modules import joined, module

INDEX = (
    '<!doctype html>\n<link rel="stylesheet" href="style.css">\n'
    '<script type="application/json" id="charts">[]</script>\n'
    '<script type="module" src="main.js"></script>\n'
)
MAIN = 'import { draw } from "./draw.js";\n\ndraw();\n'
DRAW = "// Draws.\nexport function draw() {\n  return 1;\n}\n"


def script_of(**sources: str) -> str:
    """Joined from main.js; the argument `a` is the file a.js."""
    return joined({f"{name}.js": text for name, text in sources.items()}, "main.js")


def test_a_module_stands_after_those_that_it_imports() -> None:
    script = script_of(
        main='import { b } from "./b.js";\nimport { a } from "./a.js";\nb(a);\n',
        b='import { a } from "./a.js";\nexport const b = a;\n',
        a="export class a {}\n",
    )
    assert re.findall(r"^// (\w+)\.js$", script, re.MULTILINE) == ["a", "b", "main"]


def test_import_export_and_comments_are_gone_and_the_rest_is_as_it_was() -> None:
    script = script_of(main=MAIN, draw=DRAW)
    assert script == ("// draw.js\nfunction draw() {\n  return 1;\n}\n\n// main.js\ndraw();\n")


def test_an_import_may_span_lines_and_stand_under_a_comment() -> None:
    main = (
        '/**\n * import nothing;\n */\n// Why.\nimport {\n  draw,\n  paint,\n} from "./draw.js";\n'
    )
    script = script_of(
        main=f"{main}draw(paint);\n",
        draw=f"{DRAW}export async function paint() {{}}\n",
    )
    assert script.endswith("// main.js\ndraw(paint);\n")


def test_code_after_a_comment_stays() -> None:
    main = "/** Why. */\n/** @type {number} */ let one = 1;\nlet two = 2; /* why */\n// Why.\n"
    assert script_of(main=main) == (
        "// main.js\n/** @type {number} */ let one = 1;\nlet two = 2; /* why */\n"
    )


def test_a_module_that_nobody_imports_is_left_out() -> None:
    assert "spare" not in script_of(main=MAIN, draw=DRAW, other="export const spare = 1;\n")


@pytest.mark.parametrize(
    "line",
    [
        'import draw from "./draw.js";',
        'import * as all from "./draw.js";',
        'import "./draw.js";',
        'import { draw } from "https://cdn.example/draw.js";',
        'import { draw } from "../draw.js";',
        "import { draw } from './draw.js';",
        'import { draw as paint } from "./draw.js";',
        'const later = import("./draw.js");',
        "const where = import.meta.url;",
        "export default function () {}",
        "export { draw };",
        'export * from "./draw.js";',
        "export let changing = 1;",
        "const { one, two } = both;",
        "const answer = await fetch(address);",
        "await start();",
        'const tag = "</script>";',
        'const comment = "<!--";',
        'draw();\nimport { draw } from "./draw.js";',
    ],
)
def test_a_line_that_cannot_be_joined_is_refused_by_its_file(line: str) -> None:
    with pytest.raises(PageError, match=r"^main\.js: "):
        module("main.js", f"// Starts.\n{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "const later = async () => await draw();",
        "async function start() {\n  await draw();\n}",
        "for (const name of names) {\n  draw(name);\n}",
        "// import and export, and what they await",
        'const text = "export";',
    ],
)
def test_a_line_that_only_looks_like_one_is_let_in(line: str) -> None:
    body = module("main.js", f"// Starts.\n{line}\n").body
    assert body.strip() == ("" if line.startswith("//") else line)


def test_a_cycle_is_shown() -> None:
    with pytest.raises(PageError, match=re.escape("main.js → a.js → b.js → a.js")):
        script_of(
            main='import { a } from "./a.js";\na();\n',
            a='import { b } from "./b.js";\nexport function a() {}\n',
            b='import { a } from "./a.js";\nexport function b() {}\n',
        )


def test_a_name_of_two_modules_is_refused_with_both() -> None:
    with pytest.raises(PageError, match=r"^draw is declared in draw\.js and in main\.js"):
        script_of(main=f"{MAIN}\nfunction draw() {{}}\n", draw=DRAW)


def test_a_private_name_counts_too() -> None:
    with pytest.raises(PageError, match="size is declared"):
        script_of(main=f"{MAIN}let size = 1;\n", draw=f"{DRAW}const size = 2;\n")


def test_a_missing_module_is_named_with_who_needs_it() -> None:
    with pytest.raises(PageError, match=r"there is no draw\.js, which main\.js imports"):
        script_of(main=MAIN)


def test_a_missing_start_is_named() -> None:
    with pytest.raises(PageError, match=r"there is no main\.js"):
        script_of(draw=DRAW)


def test_a_name_that_is_not_exported_is_missed() -> None:
    with pytest.raises(PageError, match=r"main\.js imports draw, which draw\.js has not"):
        script_of(main=MAIN, draw=DRAW.replace("export ", ""))


def test_style_and_script_are_put_in_and_the_policy_lets_in_nothing_else() -> None:
    page = assembled({"index.html": INDEX, "style.css": "p { color: red; }\n", "main.js": "go();"})
    html = page.html.decode()
    assert "<link" not in html
    assert " src=" not in html
    for tag, directive in (("style", "style-src"), ('script type="module"', "script-src")):
        content = html.split(f"<{tag}>")[1].split(f"</{tag.split()[0]}>")[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"; {directive} 'sha256-{digest}';" in page.policy


def test_another_text_is_another_version() -> None:
    sources = {"index.html": INDEX, "style.css": "", "main.js": "go();"}
    tags = {assembled({**sources, "main.js": text}).etag for text in ("go();", "go();", "stop();")}
    assert len(tags) == 2


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("index.html", "<!doctype html>\n", 'this once: <link rel="stylesheet"'),
        ("index.html", INDEX + INDEX, "this once"),
        ("style.css", "p::after { content: '</style>' }", "would end the style"),
    ],
)
def test_sources_that_do_not_fit_together_are_refused(file: str, text: str, message: str) -> None:
    sources = {"index.html": INDEX, "style.css": "", "main.js": "go();", file: text}
    with pytest.raises(PageError, match=message):
        assembled(sources)
