"""The third tab: runs (samples over time, curves, the watchdog) and reports."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import gradio as gr
from markupsafe import Markup

from nenrin.ground import NenrinError
from nenrin.web import markup
from nenrin.web.curves import curves
from nenrin.web.folders import Folder, RunFolder

SHOWN = ("model", "label", "size", "width", "batch", "pictures", "learning_rate", "precision", "seed")


class RunsTab:
    """Choices of a run and of a report, and what each holds. Made inside a `gradio.Blocks`."""

    def __init__(self, runs: Folder | None, reports: Folder | None) -> None:
        self._runs, self._reports = runs, reports
        self.note = gr.HTML(elem_id="nn-runs-note", js_on_load=None)
        self.run = gr.Dropdown([], label="Run", visible=False, elem_id="nn-run")
        self.run_view = gr.HTML(elem_id="nn-run-view", js_on_load=None)
        self.report = gr.Dropdown([], label="Report", visible=False, elem_id="nn-report")
        self.report_view = gr.HTML(elem_id="nn-report-view", js_on_load=None)
        self.key = gr.State("")
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal", "queue": False}
        self.run.input(self._show_run, [self.run, self.key], self.run_view, **private)
        self.report.input(self._show_report, [self.report, self.key], self.report_view, **private)

    @property
    def components(self) -> list[Any]:
        """What `begin` fills."""
        return [self.key, self.note, self.run, self.run_view, self.report, self.report_view]

    def begin(self, key: str) -> list[Any]:
        """A page was loaded with the right key (else an empty one): values of `components`."""
        if not key:
            return [key, markup.hint(HINT), gr.skip(), gr.skip(), gr.skip(), gr.skip()]
        runs = self._runs.names() if self._runs else []
        reports = self._reports.names() if self._reports else []
        missing = [
            Markup("No {} under {}. ").format(what, folder.path.name)
            if folder
            else Markup("Name a folder of {} with <code>nenrin serve --{} FOLDER</code>. ").format(what, what)
            for what, folder, found in (("runs", self._runs, runs), ("reports", self._reports, reports))
            if not found
        ]
        return [
            key,
            markup.hint(Markup("").join(missing)) if missing else "",
            _choice(runs),
            self._show_run(runs[0], key) if runs else "",
            _choice(reports),
            self._show_report(reports[0], key) if reports else "",
        ]

    def _show_run(self, name: str, key: str) -> Markup:
        if self._runs is None or not key:
            return Markup("")
        try:
            run = RunFolder(self._runs.find(name).parent)
            return view_run(run, f"runs/{key}/{quote(name)}")
        except (NenrinError, OSError) as error:
            return markup.trouble(str(error))

    def _show_report(self, name: str, key: str) -> Markup:
        if self._reports is None or not key:
            return Markup("")
        address = f"reports/{key}/{quote(name)}"
        # In a sandbox: a report is a file that somebody else may have made.
        return Markup(
            '<p class="nn-said"><a href="{}" target="_blank" rel="noopener">{} in a window of its own</a></p>'
            '<iframe class="nn-frame" sandbox title="report {}" src="{}"></iframe>'
        ).format(address, name, name, address)


HINT = "Open the address that nenrin serve printed, with its key: what it shows here is for its owner."


def view_run(run: RunFolder, address: str) -> Markup:
    """All that a run folder says; its sample grids are asked for below `address`."""
    rows, settings, stopped = run.rows(), run.settings(), run.stopped()
    last = rows[-1] if rows else {}
    facts: list[tuple[str, object]] = [(name, settings[name]) for name in SHOWN if name in settings]
    if last:
        done = f"{last.get('pictures', 0):,.0f}"
        speed = last.get("pictures_per_second")
        facts.append(("trained on", done + (f" pictures, {speed:.0f} a second" if speed else " pictures")))
    said = (
        Markup('<p class="nn-trouble">The watchdog stopped it: {}</p>').format(stopped)
        if stopped
        else Markup('<p class="nn-said">The watchdog did not stop it.</p>')
    )
    return Markup("{}{}{}{}{}").format(
        markup.facts(facts),
        said,
        _samples(run, address),
        _plots("Losses", curves(rows, watched=False)),
        _plots("What the watchdog saw", curves(rows, watched=True)),
    )


def _samples(run: RunFolder, address: str) -> Markup:
    """One grid, and a slider through all of them."""
    names = [path.stem for path in run.samples()]
    if not names:
        return Markup('<p class="nn-said">No samples yet.</p>')
    return Markup(
        '<h3>Samples</h3><div class="nn-samples"><label>step <output>{}</output>'
        '<input type="range" min="0" max="{}" value="{}" data-steps="{}" data-at="{}" oninput="'
        "const step = this.dataset.steps.split(' ')[this.value];"
        "const box = this.closest('.nn-samples');"
        "box.querySelector('output').textContent = Number(step);"
        "box.querySelector('img').src = this.dataset.at + '/' + step + '.png';"
        '"></label><img src="{}/{}.png" alt="faces, each at rising ages"></div>'
    ).format(int(names[-1]), len(names) - 1, len(names) - 1, " ".join(names), address, address, names[-1])


def _plots(title: str, plots: list[tuple[str, Markup]]) -> Markup:
    if not plots:
        return Markup("")
    cells = Markup("").join(
        Markup("<figure><figcaption>{}</figcaption>{}</figure>").format(name, plot) for name, plot in plots
    )
    return Markup('<h3>{}</h3><div class="nn-plots">{}</div>').format(title, cells)


def _choice(names: list[str]) -> Any:
    return gr.update(choices=names, value=names[0] if names else None, visible=bool(names))
