"""Decrypted config is hidden in all that is shown, wherever the program puts it."""

from __future__ import annotations

import json

import pytest

from engine.display.secret_filter import SecretFilter
from engine.project.passphrase import Crypter
from engine.values import Secret
from tests.engine.pulumi_project import PulumiProject

pytestmark = pytest.mark.slow

WORD = 'correct "horse" battery'
SHORT = "xy"
LEAKS = """
word, short = config.require("word"), config.require("short")
nested = config.require_object("nested")
print("printed", word, short)
pulumi.log.warn(f"logged {word}")
a = Thing("a", text=f"before {word} after", long="x" * 130 + word, listed=[{"in": word}],
          inner=nested["inner"], short=short, size=config.get_int("size") or 1,
          fails=config.get("fails"))
pulumi.export("text", f"<{word}>")
pulumi.export("as_json", pulumi.Output.json_dumps({"word": word}))
pulumi.export("inner", nested["inner"])
if config.get("raises"):
    raise RuntimeError(f"cannot use {word}")
"""


def set_secrets(project: PulumiProject) -> None:
    """Set the program's config in the stack's file."""
    file = project.folder / "Pulumi.dev.yaml"
    crypter = Crypter("", file.read_text().split()[1])
    project.config(
        word={"secure": crypter.encrypt(WORD)},
        short={"secure": crypter.encrypt(SHORT)},
        nested={"inner": {"secure": crypter.encrypt("a needle")}, "open": "seen"},
    )


def assert_hidden(text: str) -> None:
    for part in ("correct", "horse", "battery", "a needle"):
        assert part not in text, text[text.index(part) - 60 :][:200]


def test_secrets_of_the_config_are_hidden_in_everything_shown(
    exact_project: PulumiProject,
) -> None:
    project = exact_project
    set_secrets(project)
    project.change_provider('note("create", props)', 'note("create", props); print(props["text"])')
    project.change_provider("is out of order", "is out of order: {props['text']}")
    project.program(LEAKS)
    up = project.up()
    assert "printed [secret] xy" in up.out and "logged [secret]" in up.out
    assert "before [secret] after" in up.out and '"<[secret]>"' in up.out
    project.config(size=2)
    shown = [up.text]
    for command in (("preview", "--diff"), ("preview", "--json"), ("up", "--yes", "--diff")):
        ran = project.run(*command)
        assert ran.code == 0
        assert "[secret]" in ran.out
        shown.append(ran.text)
        if "--json" in command:
            shown_config = json.loads(ran.out)["config"]
            assert shown_config["things:nested"] == '{"inner":"[secret]","open":"seen"}'
            assert shown_config["things:short"] == "[secret]"
    project.config(size=3, fails="update")
    shown.append(project.run("up", "--yes", "--skip-preview").text)
    assert "update is out of order: before [secret] after" in shown[-1]
    project.config(raises=True)
    shown += [project.run("up", "--yes").text, project.run("preview", "--json").text]
    assert "cannot use [secret]" in shown[-2] and "cannot use [secret]" in shown[-1]
    for text in shown:
        assert_hidden(text)
    assert project.resources()["a"].outputs["text"] == f"before {WORD} after"


def test_only_texts_are_filtered_and_secrets_stay_secret() -> None:
    shown = SecretFilter(["needle"]).properties(
        {"a": ["my needle", 1, None, {"needle": True}], "b": Secret("needle")}
    )
    assert shown == {"a": ["my [secret]", 1, None, {"needle": True}], "b": Secret("needle")}


@pytest.mark.parametrize(
    ("secrets", "text", "shown"),
    [
        (["ab", "True", "false", ""], "ab true false", "ab true false"),
        (["abc", "abcdef"], "abcdef abc", "[secret] [secret]"),
        (["secret"], "[secret] secret", "[secret] [secret]"),
        (["a\nb"], "a\nb and " + json.dumps("a\nb"), '[secret] and "[secret]"'),
        (["grün"], "grün and " + json.dumps("grün"), '[secret] and "[secret]"'),
        ([], "anything", "anything"),
    ],
)
def test_what_is_hidden_in_a_text(secrets: list[str], text: str, shown: str) -> None:
    hidden = SecretFilter(secrets)
    assert hidden.text(text) == shown
    assert hidden.text(shown) == shown
