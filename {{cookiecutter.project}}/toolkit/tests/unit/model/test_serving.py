"""The server starts with a usable bundle, or says why it cannot."""

from pathlib import Path

import pytest

from toolkit.model import predictor as predictors
from toolkit.serving import __main__ as serving


def test_outside_a_release_the_version_has_only_the_model(bundle: Path) -> None:
    predictor = predictors.load(bundle)
    assert serving.identity(bundle, predictor) == {
        **{"release": None, "commit": None, "digest": None},
        "model_sha256": predictor.sha256,
    }


def test_an_unreadable_release_record_is_refused(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle / "release.json").write_text("{", encoding="utf-8")
    assert serving.main(["--bundle", str(bundle), "--port", "0"]) == 2
    assert "release.json: Expecting property name" in capsys.readouterr().err


def test_a_missing_bundle_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert serving.main(["--bundle", str(tmp_path / "nowhere"), "--port", "0"]) == 2
    assert "nowhere/model.onnx: No such file" in capsys.readouterr().err


def test_a_socket_that_was_not_inherited_is_refused(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serving.main(["--bundle", str(bundle), "--fd", "999"]) == 2
    assert "--fd: Bad file descriptor: not an inherited" in capsys.readouterr().err


def test_a_server_needs_a_socket_or_a_port(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        serving.main(["--bundle", str(bundle)])
    assert ended.value.code == 2
    usage = capsys.readouterr().err
    assert "one of the arguments --fd --port is required" in usage
    assert "python -m toolkit.serving:" in usage
