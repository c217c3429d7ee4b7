"""Settings: what a host gets by default, and the one sentence that every wrong value is answered with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from deploy.settings import PREFIX, Settings, SettingsError, read_all_settings, read_settings

HOME = "/srv/lab"
DIGEST = "0123456789abcdef" * 4
MODEL_URL = "https://models.example.invalid/en_core_web_sm-3.8.0-py3-none-any.whl"


def refusal_of(**values: Any) -> str:
    """The sentence that a host called 'lab1' gets for settings with one mistake."""
    data = {"jupyter_home": HOME} | {PREFIX + name: value for name, value in values.items()}
    with pytest.raises(SettingsError) as caught:
        read_settings("lab1", data)
    [problem] = caught.value.problems
    sentence = str(problem)
    assert sentence.startswith("lab1: jupyter_")
    assert sentence.endswith((".", "?"))
    assert "\n" not in sentence
    return sentence


def good(**values: Any) -> Settings:
    return read_settings("lab1", {"jupyter_home": HOME} | {PREFIX + name: value for name, value in values.items()})


# --- what one gets without asking -----------------------------------------------------------------------------------


def test_a_home_is_all_that_a_host_must_name() -> None:
    assert (
        good().model_dump().items()
        >= {
            "scope": "user",
            "home": "/srv/lab",
            "port": 8888,
            "bind": "127.0.0.1",
            "base_url": "/",
            "auth": "token",
            "workspace": "/srv/lab/workspace",
            "workspace_mount": "directory",
            "provider": "uv",
            "profile": "core",
            "spacy_model": None,
            "python": "python3",
            "uv": None,
            "keep_releases": 3,
            "mcp_room_idle_timeout": 600,
        }.items()
    )
    assert good().extra_packages == []


def test_every_setting_says_in_one_line_what_it_means() -> None:
    for name, field in Settings.model_fields.items():
        if name != "workspace":
            assert field.description, name
        assert "\n" not in (field.description or ""), name


def test_keys_of_other_people_are_left_alone() -> None:
    data: dict[Any, Any] = {
        "jupyter_home": HOME,
        7: 8,
        None: 9,
        "ssh_user": "root",
        "_sudo": True,
        "jupyterhub_port": "x",
        "port": "not ours",
    }
    assert read_settings("lab1", data).port == 8888


def test_settings_cannot_be_changed_once_they_were_found_good() -> None:
    with pytest.raises(ValueError, match="frozen"):
        good().port = 9999  # type: ignore[misc]


def test_a_path_is_kept_without_what_makes_no_difference() -> None:
    assert good(workspace="/data//notebooks/./x/").workspace == "/data/notebooks/x"


def test_a_path_with_spaces_and_letters_of_any_language_is_good() -> None:
    assert good(workspace="/srv/My Notebooks/Übung 1").workspace == "/srv/My Notebooks/Übung 1"


@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0", "::", "::1", "10.0.0.7", "fd00::5"])
def test_any_address_may_be_listened_on_with_a_token(bind: str) -> None:
    assert good(bind=bind).bind == bind


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.0.0.53", "::1"])
def test_without_authentication_loopback_is_good(bind: str) -> None:
    assert good(auth="none", bind=bind).auth == "none"


def test_extra_packages_are_written_in_one_way() -> None:
    settings = good(extra_packages=["altair >= 5", "polars[all]>1,<2", "tqdm; python_version>'3'"])
    assert settings.extra_packages == ["altair>=5", "polars[all]<2,>1", 'tqdm; python_version > "3"']


def test_a_python_is_a_program_s_name_or_path() -> None:
    assert good(python="python3.12").python == "python3.12"
    assert good(python="/opt/my python/bin/python3").python == "/opt/my python/bin/python3"


# --- one sentence with the host, the key, the value and what is right ----------------------------------------------


def test_a_home_that_is_not_set_is_asked_for() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings("lab1", {})
    assert str(caught.value).startswith("lab1: jupyter_home: is not set. Directory below which")


def test_a_misspelt_key_gets_the_key_that_was_meant() -> None:
    assert refusal_of(prot=9000) == "lab1: jupyter_prot: there is no such setting; did you mean jupyter_port?"


def test_a_key_like_no_other_is_sent_to_the_documentation() -> None:
    assert "docs/settings.md" in refusal_of(zzzzzz=1)


def test_a_bare_prefix_is_no_setting() -> None:
    assert "there is no such setting" in refusal_of(**{"": 1})


@pytest.mark.parametrize("port", [70000, 0, -1, 10**30])
def test_a_port_that_no_machine_has_is_refused(port: int) -> None:
    sentence = refusal_of(port=port)
    assert f"jupyter_port: {port} " in sentence
    assert ("65535" if port > 0 else "1") in sentence


@pytest.mark.parametrize("port", ["8888", 8888.0, True, None, [8888], b"8888"])
def test_a_port_that_is_no_number_is_shown_as_it_was_written(port: object) -> None:
    assert refusal_of(port=port) == f"lab1: jupyter_port: {port!r} is wrong: input should be a valid integer."


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("home", 7, "valid string"),
        ("workspace", None, "valid string"),
        ("bind", 127, "valid string"),
        ("extra_packages", "altair", "valid list"),
        ("extra_packages", ("altair",), "valid list"),
        ("extra_packages", [3], "valid string"),
        ("keep_releases", "3", "valid integer"),
        ("mcp_room_idle_timeout", 1.5, "valid integer"),
        ("uv", 1, "valid string"),
        ("spacy_model", {}, "valid string"),
    ],
)
def test_a_value_of_the_wrong_type_is_told_the_right_one(name: str, value: object, right: str) -> None:
    sentence = refusal_of(**{name: value})
    assert sentence.startswith(f"lab1: jupyter_{name}: ")
    assert right in sentence


@pytest.mark.parametrize("name", ["keep_releases", "mcp_room_idle_timeout"])
def test_a_number_that_is_too_small_is_told_the_smallest(name: str) -> None:
    assert refusal_of(**{name: 0}) == (f"lab1: jupyter_{name}: 0 is wrong: input should be greater than or equal to 1.")


@pytest.mark.parametrize(
    ("name", "example"), [("home", "/srv/notebooks"), ("workspace", "/srv/notebooks"), ("uv", "/usr/bin/uv")]
)
def test_a_relative_path_is_refused_in_one_sentence(name: str, example: str) -> None:
    assert refusal_of(**{name: "notebooks"}) == (
        f"lab1: jupyter_{name}: 'notebooks' must be an absolute path, such as {example}."
    )


@pytest.mark.parametrize("root", ["/", "//", "///", "/.", "//."])
def test_the_root_directory_is_never_a_home(root: str) -> None:
    assert f"jupyter_home: {root!r} must not be the root directory" in refusal_of(home=root)


@pytest.mark.parametrize("path", ["/srv/../etc", "/..", "/srv/lab/.."])
def test_a_path_that_climbs_is_refused(path: str) -> None:
    assert "no '..'" in refusal_of(workspace=path)


@pytest.mark.parametrize("character", [*"%\"'\\;,#$`*?[]:", "\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x85", "\ud800"])
def test_a_character_that_the_service_s_files_cannot_hold_is_refused(character: str) -> None:
    assert "must be a plain path" in refusal_of(workspace=f"/srv/note{character}books")


@pytest.mark.parametrize("path", ["/srv/lab ", "/srv/lab/ ", "/srv/lab\u00a0"])
def test_white_space_after_a_path_is_refused_since_a_configuration_file_would_lose_it(path: str) -> None:
    assert "white space" in refusal_of(home=path)


@pytest.mark.parametrize("bind", ["localhost", "lab.example.invalid", "127.0.0.1:8888", "", "256.0.0.1", "127.1"])
def test_a_name_is_no_address(bind: str) -> None:
    assert refusal_of(bind=bind) == (
        f"lab1: jupyter_bind: {bind!r} must be an IP address, such as 127.0.0.1 or 0.0.0.0."
    )


@pytest.mark.parametrize("url", ["lab/", "/lab", "", "/a b/", "//", "/lab/../", "/./", "/%2e/", "/lab/\n"])
def test_a_base_url_begins_and_ends_with_a_slash(url: str) -> None:
    assert f"jupyter_base_url: {url!r} must begin and end with a slash" in refusal_of(base_url=url)


@pytest.mark.parametrize("python", ["a b", "", ".", "..", "-c", "./python", "python3;id", "bin/python3"])
def test_a_python_that_is_neither_name_nor_path_is_refused(python: str) -> None:
    assert "must be a program's name or absolute path" in refusal_of(python=python)


@pytest.mark.parametrize("name", ["scope", "auth", "provider", "profile", "workspace_mount"])
@pytest.mark.parametrize("value", ["", "nonsense", "NONE", 1, None, ["token"], {}])
def test_a_choice_is_answered_with_its_choices(name: str, value: object) -> None:
    sentence = refusal_of(**{name: value})
    assert f"jupyter_{name}: {value!r} is not one of its values; use '" in sentence
    assert repr(getattr(good(), name)) in sentence


@pytest.mark.parametrize(
    "requirement", ["", "==", "two words", "a>=", "altair>=5 --index-url https://x.invalid", "-r x"]
)
def test_what_is_no_requirement_is_refused(requirement: str) -> None:
    sentence = refusal_of(extra_packages=["numpy", requirement])
    assert sentence == (
        f"lab1: jupyter_extra_packages: {requirement!r} is no package requirement; write it as in 'altair>=5'."
    )


@pytest.mark.parametrize("url", ["https://x.invalid/a.whl", "file:///tmp/a.whl", "git+https://x.invalid/a"])
def test_a_requirement_with_a_url_is_refused_since_no_lock_could_hold_it(url: str) -> None:
    assert "names a URL; name a package of the index" in refusal_of(extra_packages=[f"a @ {url}"])


def test_every_wrong_requirement_is_named_not_only_the_first() -> None:
    with pytest.raises(SettingsError) as caught:
        good(extra_packages=["==", "fine", "also wrong"])
    assert [problem.message.split(" is ")[0] for problem in caught.value.problems] == ["'=='", "'also wrong'"]


# --- the spaCy model ------------------------------------------------------------------------------------------------


def test_a_model_from_the_network_has_a_digest() -> None:
    assert good(profile="full", spacy_model=f"{MODEL_URL}#sha256={DIGEST}").spacy_model


@pytest.mark.parametrize("digest", ["", "#sha256=", "#sha256=abc", f"#sha256={DIGEST[:-1]}g", f"#md5={DIGEST[:32]}"])
def test_a_model_from_the_network_without_a_digest_is_refused(digest: str) -> None:
    sentence = refusal_of(profile="full", spacy_model=MODEL_URL + digest)
    assert "sha256" in sentence or "must end in a wheel's name" in sentence


def test_a_model_may_be_a_wheel_of_the_machine_that_deploys(tmp_path: Path) -> None:
    wheel = tmp_path / "en_core_web_sm-3.8.0-py3-none-any.whl"
    wheel.touch()
    assert good(profile="full", spacy_model=str(wheel)).spacy_model == str(wheel)


def test_a_wheel_that_is_not_there_is_refused_before_any_host_is_touched(tmp_path: Path) -> None:
    missing = str(tmp_path / "en_core_web_sm-3.8.0-py3-none-any.whl")
    assert "the absolute path of a wheel on the machine that deploys" in refusal_of(profile="full", spacy_model=missing)


@pytest.mark.parametrize(
    "directory", ["", "relative/", "/" + "a" * 300 + "/", "/nul\0/", "ftp://x.invalid/", "http://a b/"]
)
def test_a_wheel_with_an_impossible_path_is_refused_like_one_that_is_missing(directory: str) -> None:
    sentence = refusal_of(profile="full", spacy_model=f"{directory}en_core_web_sm-3.8.0-py3-none-any.whl")
    assert "must be an http(s) URL, or the absolute path" in sentence


@pytest.mark.parametrize("name", ["en_core_web_lg-3.8.0-py3-none-any.whl", "model.tar.gz", "", "en_core_web_sm"])
def test_another_file_than_the_model_s_wheel_is_refused(name: str) -> None:
    assert "must end in a wheel's name" in refusal_of(profile="full", spacy_model=f"https://x.invalid/{name}")


def test_a_model_without_spacy_is_refused() -> None:
    sentence = refusal_of(profile="core", spacy_model=f"{MODEL_URL}#sha256={DIGEST}")
    assert sentence.startswith("lab1: jupyter_spacy_model: 'https://")
    assert "only in jupyter_profile 'full'" in sentence


def test_a_model_from_the_network_does_not_go_with_a_bundle(tmp_path: Path) -> None:
    bundle, wheel = tmp_path / "lab.tar", tmp_path / "en_core_web_sm-3.8.0-py3-none-any.whl"
    bundle.touch()
    wheel.touch()
    together: dict[str, Any] = {"profile": "full", "source": "bundle", "bundle": str(bundle)}
    sentence = refusal_of(spacy_model=f"{MODEL_URL}#sha256={DIGEST}", **together)
    assert sentence.startswith("lab1: jupyter_spacy_model: 'https://")
    assert "needs the internet; with jupyter_source 'bundle' name a file" in sentence
    assert good(spacy_model=str(wheel), **together).spacy_model == str(wheel)
    assert good(spacy_model="none", **together).spacy_model == "none"


# --- what does not go together --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "10.0.0.7", "fd00::5"])
def test_no_authentication_beyond_loopback_is_refused(bind: str) -> None:
    sentence = refusal_of(auth="none", bind=bind)
    assert sentence.startswith(f"lab1: jupyter_bind: {bind!r} is no loopback address")
    assert "use '127.0.0.1'" in sentence


def test_a_home_too_long_for_its_socket_is_refused_with_its_length() -> None:
    longest = "/" + "h" * (107 - len("/run/supervisor.sock") - 1)
    assert good(home=longest)
    sentence = refusal_of(home=longest + "h")
    assert "jupyter_home" in sentence
    assert "would have 108 bytes, and the system allows 107" in sentence


def test_the_length_of_a_home_is_counted_in_bytes() -> None:
    assert "is too long" in refusal_of(home="/" + "ü" * 45)


@pytest.mark.parametrize("workspace", ["/srv/lab", "/srv", "//srv", "/srv/lab/"])
def test_a_workspace_that_holds_the_home_would_show_its_token(workspace: str) -> None:
    assert "holds the home, with its token" in refusal_of(workspace=workspace)


@pytest.mark.parametrize("below", ["", "/mine", "/a/b/c"])
@pytest.mark.parametrize("removed", [str(path) for path in good().paths.removable()])
def test_a_workspace_that_down_would_remove_is_refused(removed: str, below: str) -> None:
    assert "jupyfleet replaces" in refusal_of(workspace=removed + below)
    assert "jupyfleet replaces" in refusal_of(workspace="/" + removed + below)


def test_a_second_leading_slash_hides_no_home_either() -> None:
    assert "jupyfleet replaces" in refusal_of(home="//srv/lab", workspace="/srv/lab/releases/x")


@pytest.mark.parametrize("workspace", ["/srv/lab/releases-of-mine", "/srv/lab/notebooks", "/srv/laboratory", "/data"])
def test_a_workspace_beside_what_is_removed_is_good(workspace: str) -> None:
    assert good(workspace=workspace).workspace == workspace


def test_all_that_does_not_go_together_is_said_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        good(auth="none", bind="::", workspace="/srv", spacy_model=f"{MODEL_URL}#sha256={DIGEST}")
    assert [problem.key for problem in caught.value.problems] == [
        "jupyter_bind",
        "jupyter_spacy_model",
        "jupyter_workspace",
    ]


# --- the whole site -------------------------------------------------------------------------------------------------


def test_the_problems_of_all_hosts_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        read_all_settings(
            {
                "a": {"jupyter_home": HOME, "jupyter_port": 70000, "jupyter_prot": 1},
                "b": {"jupyter_home": HOME},
                "c": {"jupyter_home": "lab", "jupyter_bind": "localhost"},
                "d": {"jupyter_home": HOME, "jupyter_auth": "none", "jupyter_bind": "::"},
            }
        )
    found = {(problem.host, problem.key) for problem in caught.value.problems}
    assert found == {
        ("a", "jupyter_port"),
        ("a", "jupyter_prot"),
        ("c", "jupyter_home"),
        ("c", "jupyter_bind"),
        ("d", "jupyter_bind"),
    }
    assert len(str(caught.value).splitlines()) == len(caught.value.problems) == 5


def test_a_good_site_gets_the_settings_of_each_host() -> None:
    site = read_all_settings({"a": {"jupyter_home": "/a"}, "b": {"jupyter_home": "/b", "jupyter_port": 1}})
    assert [(name, found.home, found.port) for name, found in site.items()] == [("a", "/a", 8888), ("b", "/b", 1)]


# --- whatever an inventory may hold ---------------------------------------------------------------------------------

_TEXTS = st.one_of(
    st.text(max_size=30),
    st.text(max_size=20).map("/".__add__),
    st.sampled_from(["/", "//", "/srv/lab", "/srv/lab/releases", "token", "none", "full", "::", "0.0.0.0", "python3"]),
    st.text(alphabet=st.characters(), max_size=8).map(lambda text: f"{text}/en_core_web_sm-1-py3-none-any.whl"),
)
_JUNK: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
_KEYS = st.sampled_from(list(Settings.model_fields)) | st.text(max_size=6)


@hypothesis_settings(max_examples=600, deadline=None)
@given(st.dictionaries(_KEYS, _JUNK, max_size=6), st.sampled_from([None, "/srv/lab", "/h"]))
def test_whatever_an_inventory_holds_it_is_good_or_refused_with_reasons(values: dict[str, object], home: str) -> None:
    data = ({"jupyter_home": home} if home else {}) | {PREFIX + name: value for name, value in values.items()}
    problems = []
    try:
        settings = read_settings("lab1", data)
    except SettingsError as error:
        problems = error.problems
    else:
        for path in settings.paths.removable():
            assert not Path(settings.workspace).is_relative_to(path)
        assert not Path(settings.home).is_relative_to(settings.workspace)
        return
    assert problems
    for problem in problems:
        assert problem.host == "lab1"
        assert problem.key in {*data, "jupyter_home"}
        assert re.search(r"\w.*[.?]$", problem.message, re.DOTALL)


def test_a_certificate_is_the_host_s_own_or_one_from_here(tmp_path: Path) -> None:
    there = good(tls="files", tls_certificate="file:/etc/lab/certificate.pem", tls_key="file:/etc/lab/key.pem")
    assert there.tls_files is not None
    assert str(there.tls_files.key) == "/etc/lab/key.pem"
    assert there.tls_files_here is None
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.touch()
    key.touch()
    here = good(tls="files", tls_certificate=str(certificate), tls_key=str(key))
    assert here.tls_files == here.paths.own_tls_files
    assert here.tls_files_here == (certificate, key)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (
            {"tls": "files", "tls_key": "file:/k.pem"},
            "jupyter_tls_certificate: is needed with jupyter_tls 'files'",
        ),
        ({"tls_key": "file:/k.pem"}, "jupyter_tls_key: 'file:/k.pem' is only for jupyter_tls 'files'"),
        (
            {"tls": "files", "tls_certificate": "file:/c.pem", "tls_key": __file__},
            "must be where jupyter_tls_certificate is",
        ),
        ({"tls": "files", "tls_certificate": "/nowhere/c.pem"}, "is no file on the machine that deploys"),
        ({"tls": "files", "tls_certificate": "c.pem"}, "must be an absolute path"),
    ],
)
def test_half_of_a_certificate_is_refused(settings: dict[str, str], reason: str) -> None:
    assert reason in refusal_of(**settings)
