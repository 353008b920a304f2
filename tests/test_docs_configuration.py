"""The page about configuration has every setting with its true default; its examples run."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from node.config import NodeConfig, NodeSection, SecurityConfig, SessionsConfig, StoreConfig
from node.sections import SESSION_BYTES_MAX
from node.setting_checks import SECRET_BYTES_MAX, SECRET_BYTES_MIN
from ring.errors import ConfigError
from ring.placement import Departed, Member, Ring

PAGE: Final = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text()
ROWS: Final = dict(re.findall(r"^\| `([a-z_.\[\]]+)` \| (.+?) \| .+ \|$", PAGE, re.MULTILINE))
SECTIONS: Final[tuple[type[Any], ...]] = (StoreConfig, SessionsConfig, NodeSection)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def stated(key: str) -> object:
    """What the page says is the default of ``key``: a value, or words."""
    cell = ROWS[key]
    value = re.fullmatch("`(.+)`", cell)
    return tomllib.loads(f"value = {value[1]}")["value"] if value else cell


def settings() -> list[tuple[type[Any], "attrs.Attribute[Any]"]]:
    return [(section, field) for section in SECTIONS for field in attrs.fields(section)]


@pytest.mark.parametrize(
    ("section", "field"),
    settings(),
    ids=[f"{section.SECTION}.{field.name}" for section, field in settings()],
)
def test_every_setting_is_in_the_page_with_its_true_default(
    section: type[Any], field: "attrs.Attribute[Any]"
) -> None:
    default = stated(f"{section.SECTION}.{field.name}")
    if field.default is attrs.NOTHING:
        assert default == "required"
    elif field.default is None:
        assert default in ("none", "see below")
    else:
        assert getattr(section(**{field.name: default}), field.name) == field.default


def test_the_keys_of_the_ring_are_in_the_page_with_their_true_defaults() -> None:
    kinds: tuple[tuple[type[Any], str], ...] = (
        (Ring, "ring"),
        (Member, "ring.members[]"),
        (Departed, "ring.departed[]"),
    )
    for kind, prefix in kinds:
        for field in attrs.fields(kind):
            default = "required" if field.default is attrs.NOTHING else field.default
            said = stated(f"{prefix}.{field.name}")
            assert (tuple(said) if isinstance(said, list) else said) == default


def test_the_page_has_no_setting_that_there_is_not() -> None:
    keys = {f"{section.SECTION}.{field.name}" for section, field in settings()}
    keys |= {f"ring.{field.name}" for field in attrs.fields(Ring)}
    keys |= {f"ring.members[].{field.name}" for field in attrs.fields(Member)}
    keys |= {f"ring.departed[].{field.name}" for field in attrs.fields(Departed)}
    keys |= {f"security.{name}" for name in ("secret", "secrets", "secret_file")}
    keys |= {f"security.{field.name}" for field in attrs.fields(SecurityConfig)[1:]}
    assert set(ROWS) == keys


def test_the_limits_in_the_text_are_the_true_ones() -> None:
    assert f"at most {SESSION_BYTES_MAX:,}" in PAGE
    assert f"{SECRET_BYTES_MIN} to {SECRET_BYTES_MAX:,} bytes" in PAGE


def test_the_first_example_loads(tmp_path: Path) -> None:
    example = blocks("toml")[0]
    secret = tmp_path / "secret"
    secret.write_text("sixteen bytes or more\n")
    path = tmp_path / "ring.toml"
    path.write_text(example.replace("/etc/sessionring/secret", str(secret)))
    config = NodeConfig.load(path, "b", environ={})
    assert config.store_directory == Path("/var/lib/sessionring/b")
    assert config.security == SecurityConfig("sixteen bytes or more")


def test_the_examples_in_code_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ring.toml").write_text(
        '[ring]\nname = "shop"\n[[ring.members]]\nname = "a"\naddress = "127.0.0.1:6802"\n'
    )
    names: dict[str, Any] = {}
    for example in blocks("python"):
        names.pop("config", None)
        exec(example, names)
        assert isinstance(names["config"], NodeConfig)


def test_the_refusals_in_the_page_are_the_true_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    far = '[ring]\nname = "shop"\n[[ring.members]]\nname = "a"\naddress = "10.0.0.1:6802"\n'
    wrong = (
        "[sessions]\nmaxidle = 5",
        '[sessions]\nmax_idle = "30 minutes"',
        "[node]\nsuspect = 1",
        "",
    )
    refusals = []
    for text in wrong:
        Path("ring.toml").write_text(far + text)
        with pytest.raises(ConfigError) as error:
            NodeConfig.load("ring.toml", environ={})
        refusals.append(str(error.value))
    assert blocks("text") == ["\n".join(refusals) + "\n"]
