"""The page about a run: what is in it, what is left out, and that it needs nothing from elsewhere."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxgen import files, images
from jaxgen.errors import InputError
from jaxgen.runs import curves, panels, recording, report

VOID = {"meta", "img", "path", "br", "use", "rect"}


class Page(HTMLParser):
    """Tags with attributes, text, table cells by row, and a check that what opens closes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(path.read_text())
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style" and data.strip():
            self.text.append(data.strip())

    def after(self, label: str) -> str:
        return self.text[self.text.index(label) + 1]

    def pictures(self) -> list[dict]:
        return [attrs for tag, attrs in self.tags if tag == "img"]


USE = "python -m jaxgen sample {run}"
PICTURES = (
    report.Picture("samples.png", "Samples", "Final grid"),
    report.Picture("interpolation.gif", "Interpolation", "Between latents, in a loop", 600),
)


@pytest.fixture
def run_dir(tmp_path) -> Path:
    folder = tmp_path / "out" / "digits_gan" / "20250601-100000"
    metrics = recording.open_metrics(folder)
    for step in range(10, 1010, 10):
        metrics.write(step, {"images": 8 * step, "loss/generator": 1 / step, "loss/discriminator": 0.5})
    metrics.write(500, {"quality/distance": 20.5})
    metrics.write(1000, {"quality/distance": 12.25, "quality/broken": float("nan")})
    metrics.close()
    grid = images.make_grid(np.zeros((4, 8, 8, 1), np.uint8))
    images.save_png(folder / "samples.png", grid)
    for step in range(50, 1050, 50):
        images.save_png(folder / "samples" / f"{step:08}.png", np.full((8, 8, 1), step // 50, np.uint8))
    images.save_gif(folder / "interpolation.gif", np.stack([grid, 255 - grid]))
    files.write_json(
        folder / "config.json",
        {"seed": 7, "data": {"dataset": "digits", "deep": {"er": [1, 2]}, "size": None}},
    )
    files.write_json(
        folder / "run.json",
        {
            "recipe": "digits_gan",
            "command": ["python", "-m", "experiments.digits_gan", "--name", "a b"],
            "data": {"origin": "bundled <b>digits</b>"},
            "hardware": {"cpu": "Example 3000", "devices": {"cpu": 4}, "versions": {"jax": "9.9.9"}},
            "started": "2025-06-01",
            "status": "completed",
            "steps": 1000,
            "seconds": 3792.0,
            "images_per_second": 2109.7,
            "notes": "<script>alert(1)</script>",
        },
    )
    return folder


def test_headline_and_facts(run_dir) -> None:
    path = report.write_report(run_dir, PICTURES, (USE,))
    assert path == run_dir / "report.html"
    page = Page(path)
    expected = {
        "Steps": "1,000",
        "Images seen": "8,000",
        "Time": "1:03:12",
        "Images a second": "2,110",
        "Status": "completed",
        "seed": "7",
        "deep.er": "1, 2",
        "cpu": "Example 3000",
        "devices": "4 × cpu",
        "jax": "9.9.9",
        "origin": "bundled <b>digits</b>",
        "loss/generator": "0.001 (step 1,000)",
        "quality/distance": "12.25 (step 1,000)",
        "quality/broken": "not finite (step 1,000)",
        "Run it again": "python -m experiments.digits_gan --name 'a b'",
        "Use it": "python -m jaxgen sample out/digits_gan/20250601-100000",
    }
    assert {label: page.after(label) for label in expected} == expected
    assert page.text.count("digits_gan") == 1


def test_quality_is_among_the_first_figures(run_dir) -> None:
    protocol = {"name": "classifier-10k"}
    for step, value in ((500, 9.0), (1000, 4.0722)):
        figures = {"frechet": {"value": 5 * value, "low": None, "high": None}}
        figures |= {"frechet_multiple": {"value": value, "low": None, "high": None}}
        record = {"step": step, "protocol": protocol, "figures": figures}
        files.write_json(run_dir / "evaluation" / f"{step}.json", record)
    run = files.read_json(run_dir / "run.json") | {"best_checkpoint_by": "distance of ten fakes"}
    files.write_json(run_dir / "run.json", run)
    page = Page(report.write_report(run_dir, PICTURES, (USE,)))
    assert page.after("quality/distance, step 1,000") == "12.25"
    assert page.after("× the distance of real images, classifier-10k") == "4.072"
    assert page.text.index("quality/distance, step 1,000") < page.text.index("Steps") < page.text.index("Samples")
    assert "Best checkpoint (quality/distance): distance of ten fakes" in page.text


def test_what_says_nothing_has_no_row(run_dir) -> None:
    run = files.read_json(run_dir / "run.json")
    files.write_json(run_dir / "run.json", run | {"resumed_at": None, "history": [{"status": "complete"}]})
    page = Page(report.write_report(run_dir, PICTURES, (USE,)))
    assert not {"none", "None", "size", "resumed_at", "history"} & set(page.text)
    history = [{"started": "May", "status": "stopped by SIGINT", "steps": 300, "command": "x"}, {"status": "complete"}]
    files.write_json(run_dir / "run.json", run | {"history": history})
    assert Page(report.write_report(run_dir, PICTURES, (USE,))).after("1") == "May: stopped by SIGINT at step 300, x"


def test_one_point_is_a_value_and_no_chart(run_dir) -> None:
    metrics = recording.open_metrics(run_dir.parent / "short")
    metrics.write(10, {"images": 80, "loss/generator": 1.5})
    metrics.write(20, {"images": 160, "loss/generator": 1.25})
    metrics.write(20, {"images": 160, "quality/distance": 1234.5})
    metrics.close()
    page = Page(report.write_report(run_dir.parent / "short"))
    assert [attrs["aria-label"] for tag, attrs in page.tags if tag == "svg"] == ["loss"]
    assert page.after("distance") == "1,234.5 (images seen 160)"


def ticks(curve_values):
    """The labels of both axes of a chart of these values, after it is drawn."""
    figure = Figure(figsize=(5.2, 2.7), layout="constrained")
    axes, x = figure.subplots(), np.arange(len(curve_values)) * 40_000.0
    y = np.array(curve_values)
    curves.draw_panel(axes, [curves.Curve("a", x, y, y)], "images seen")
    figure.canvas.draw()
    return [
        [label.get_text() for label in axis.get_ticklabels() if label.get_text()] for axis in (axes.xaxis, axes.yaxis)
    ]


@pytest.mark.parametrize(
    "values",
    [[1.0, 1.0 + 1e-13, 1.0], [3137.9, 3135.2, 3136.0], [0.0012, 0.0001, 0.0004], [0.0, 0.0], [5e8, 2e9], [-3.0, 4.0]],
)
def test_labels_of_an_axis_are_short_few_and_different(values) -> None:
    for labels in ticks(values):
        assert 2 <= len(labels) <= 8
        assert len(set(labels)) == len(labels)
        assert all(len(label) <= 8 for label in labels), labels


def test_thousands_are_set_apart() -> None:
    assert curves.format_tick(3137.5, (3135.0, 3138.0)) == "3,137.5"
    assert curves.format_tick(20_000.0, (0.0, 50_000.0)) == "20,000"
    assert curves.format_tick(0.30000000000000004, (0.0, 1.0)) == "0.3"
    assert curves.format_tick(-0.0, (-1.0, 1.0)) == "0"


def test_pictures_are_the_files(run_dir) -> None:
    page = Page(report.write_report(run_dir, PICTURES, (USE,)))
    data = [base64.b64decode(attrs["src"].partition("base64,")[2]) for attrs in page.pictures()]
    assert data[0] == (run_dir / "samples.png").read_bytes()
    assert data[1] == (run_dir / "interpolation.gif").read_bytes()
    assert [attrs["src"][:16] for attrs in page.pictures()[:2]] == ["data:image/png;b", "data:image/gif;b"]
    captions = [attrs["alt"] for attrs in page.pictures()[2:]]
    # 20 grids, at steps 50 to 1000: eight of them, 19/7 apart.
    steps = [50, 200, 300, 450, 600, 750, 850, 1000]
    assert captions == [f"Step {step:,} · {8 * step:,} images" for step in steps]
    assert data[2:] == [(run_dir / "samples" / f"{step:08}.png").read_bytes() for step in steps]


def test_small_pictures_are_enlarged_by_whole_numbers(run_dir) -> None:
    page = Page(report.write_report(run_dir, PICTURES, (USE,)))
    for attrs, side in zip(page.pictures()[:3], (22, 22, 8), strict=True):
        assert attrs["class"] == "pixels"
        assert int(attrs["width"]) % side == 0
        assert int(attrs["width"]) == int(attrs["height"]) > 10 * side


def test_nothing_is_asked_of_elsewhere(run_dir) -> None:
    path = report.write_report(run_dir, PICTURES, (USE,))
    page, source = Page(path), path.read_text()
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    addresses = [attrs[k] for _, attrs in page.tags for k in ("src", "href", "xlink:href") if k in attrs]
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    assert "@import" not in source
    assert all(target.startswith("#") for target in re.findall(r"url\((.*?)\)", source))
    assert not re.search(r"https?://(?!www\.w3\.org/(2000/svg|1999/xlink)\")", source)
    assert "<script>alert" not in source
    assert str(run_dir.parent.parent.parent) not in source


def test_curves_take_the_colours_of_the_page(run_dir) -> None:
    page = Page(report.write_report(run_dir, PICTURES, (USE,)))
    panels = [attrs["aria-label"] for tag, attrs in page.tags if tag == "svg"]
    assert panels == ["loss", "quality"]
    strokes = [
        attrs["style"] for tag, attrs in page.tags if tag == "path" and "stroke: var(--c" in attrs.get("style", "")
    ]
    assert any("var(--c0)" in style for style in strokes)
    assert any("var(--c1)" in style for style in strokes)
    assert "#0101" not in (run_dir / "report.html").read_text()
    assert "#0102" not in (run_dir / "report.html").read_text()


def test_ids_of_clips_are_not_shared(run_dir) -> None:
    page = Page(report.write_report(run_dir, PICTURES, (USE,)))
    clips = [attrs["id"] for tag, attrs in page.tags if tag == "clippath"]
    assert len(clips) == len(set(clips)) >= 2


@pytest.mark.parametrize(
    ("missing", "title"),
    [
        ("interpolation.gif", "Interpolation"),
        ("samples.png", "Samples"),
        ("samples", "Over time"),
        ("metrics.jsonl", "Curves"),
        ("metrics.jsonl", "Final metrics"),
        ("config.json", "Configuration"),
    ],
)
def test_missing_pieces_are_left_out(run_dir, missing: str, title: str) -> None:
    assert title in Page(report.write_report(run_dir, PICTURES, (USE,))).text
    (run_dir / missing).rename(run_dir.parent / "away")
    assert title not in Page(report.write_report(run_dir, PICTURES, (USE,))).text


def test_an_empty_folder_has_a_page(tmp_path) -> None:
    (tmp_path / "recipe" / "1").mkdir(parents=True)
    text = Page(report.write_report(tmp_path / "recipe" / "1")).text
    assert "recipe" in text
    assert not {"Steps", "Curves", "Configuration", "Run it again", "hardware"} & set(text)


def test_a_running_run_has_a_page(run_dir) -> None:
    files.write_json(run_dir / "run.json", {"status": "running", "steps": None, "seconds": None, "hardware": None})
    page = Page(report.write_report(run_dir, PICTURES, (USE,)))
    assert page.after("Steps") == "1,000"
    assert page.after("Status") == "running"
    assert "Time" not in page.text


def test_refusals(run_dir) -> None:
    with pytest.raises(InputError, match="no such folder"):
        report.write_report(run_dir / "none")
    (run_dir / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run\.json: is not JSON"):
        report.write_report(run_dir, PICTURES, (USE,))


def test_long_curves_keep_their_extremes() -> None:
    y = np.sin(np.arange(5000.0))
    y[1234], y[4321], y[100] = 9.0, -9.0, np.nan
    thin = panels._thin(curves.Curve("a", np.arange(5000.0), y, y))
    assert len(thin.x) <= panels.MAX_POINTS
    assert (np.nanmax(thin.y), np.nanmin(thin.y)) == (9.0, -9.0)
    np.testing.assert_array_equal(thin.y, y[thin.x.astype(int)])
    assert (np.diff(thin.x) > 0).all()


def test_images_are_counted_where_the_batch_size_changed():
    """10 steps of 8, then 5 of 16."""
    rows = [{"step": 5, "images": 40, "loss/x": 1.0}, {"step": 10, "images": 80}, {"step": 15, "images": 160}]
    assert [curves.images_at(rows, step) for step in (0, 5, 12, 15, 16)] == [0, 40, 112, 160, 176]
    assert curves.images_at([{"step": 5}], 5) is None
