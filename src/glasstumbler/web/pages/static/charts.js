// Draws each figure.chart from the table inside it, with uPlot. Without this file the tables say the same.
"use strict";
(() => {
  const COLOURS = ["--own", "--other", "--good"];
  const HEIGHT = 220;
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // The columns of the table: labels, and one array of numbers for each series.
  function read(figure) {
    const rows = [...figure.querySelectorAll("tbody tr")].map(row => [...row.cells]);
    const names = [...figure.querySelectorAll("thead th")].slice(1).map(cell => cell.textContent);
    const column = at => rows.map(cells => Number(cells[at].dataset.n));
    return { names, labels: rows.map(cells => cells[0].textContent), data: names.reduce((all, _, at) => [...all, column(at + 1)], [column(0)]) };
  }

  const axis = more => ({ stroke: colour("--text-light"), grid: { stroke: colour("--border"), width: 1 }, ticks: { stroke: colour("--border"), width: 1 }, ...more });

  function series(name, at, bars) {
    const ink = colour(COLOURS[at % COLOURS.length]);
    const drawn = bars ? { paths: uPlot.paths.bars({ size: [0.7, 60] }), fill: ink, points: { show: false } } : { points: { show: true, size: 5, fill: ink } };
    return { label: name, stroke: ink, width: bars ? 0 : 2, dash: at === 1 && !bars ? [6, 4] : undefined, ...drawn };
  }

  function options(figure, found, width) {
    const bars = figure.dataset.kind === "bars";
    const brief = value => value >= 1e6 ? `${value / 1e6}M` : value >= 1e4 ? `${value / 1e3}k` : String(Number(value.toPrecision(6)));
    const x = bars
      ? axis({ values: (_, at) => at.map(n => found.labels[n] ?? ""), splits: () => found.data[0], rotate: width < 500 ? -60 : -35, size: 64, grid: { show: false } })
      : axis({ space: 70, values: (_, at) => at.map(n => new Date(n * 1000).toISOString().slice(5, 10)) });
    return {
      width, height: HEIGHT,
      scales: { x: bars ? { time: false, range: [-0.6, found.labels.length - 0.4] } : { time: true }, y: { range: (_, low, high) => [Math.min(0, low), Math.max(high, Number.EPSILON) * 1.08] } },
      tzDate: seconds => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      axes: [x, axis({ size: 62, values: (_, at) => at.map(brief) })],
      series: [{ label: figure.querySelector("thead th").textContent, value: bars ? (_, n) => found.labels[n] ?? "" : "{YYYY}-{MM}-{DD}" },
        ...found.names.map((name, at) => series(name, at, bars))],
    };
  }

  const drawn = new Map();
  function draw(figure) {
    const plot = figure.querySelector(".plot");
    drawn.get(figure)?.destroy();
    drawn.set(figure, new uPlot(options(figure, read(figure), plot.clientWidth), read(figure).data, plot));
  }

  const figures = [...document.querySelectorAll("figure.chart")];
  const sizes = new ResizeObserver(entries => {
    for (const { target } of entries) {
      const figure = target.closest("figure");
      if (!drawn.has(figure) || drawn.get(figure).width !== target.clientWidth) draw(figure);
    }
  });
  figures.forEach(figure => sizes.observe(figure.querySelector(".plot")));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => figures.forEach(draw));
})();
