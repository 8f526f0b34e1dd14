// Draws the page's figures with Chart.js from the JSON in the element `figures`. launch/report/figures.h has the data.
(() => {
  'use strict';
  if (typeof Chart === 'undefined') {
    document.body.classList.add('no-charts');
    for (const details of document.querySelectorAll('figure details')) details.open = true;
    return;
  }
  const all = JSON.parse(document.getElementById('figures').textContent);
  const dashes = [[], [6, 4], [2, 3], [10, 3, 2, 3]];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = (number) => css('--c' + (number % 8));
  const canvas = (id) => document.querySelector('#' + id + ' canvas');

  // Arrays may be longer than a function can have arguments.
  const largest = (numbers) => numbers.reduce((most, number) => Math.max(most, number), -Infinity);

  const bytes = (value) => {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    let unit = 0;
    for (; Math.abs(value) >= 1024 && unit < units.length - 1; ++unit) value /= 1024;
    return Number(value.toPrecision(4)) + ' ' + units[unit];
  };
  const texts = {
    number: (value) => (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)
      ? value.toExponential(2).replace(/\.?0+e/, 'e') : String(Number(value.toPrecision(6)))),
    bytes,
    share: (value) => Number((100 * value).toPrecision(4)) + '%',
  };

  // Restarts and failures: dashed lines across the chart, at the step after which they happened.
  const marks = {
    id: 'marks',
    afterDatasetsDraw(chart) {
      const { ctx, chartArea: area, scales: { x } } = chart;
      if (!chart.options.plugins.marks || !x) return;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = css('--faint');
      ctx.font = '11px system-ui, sans-serif';
      ctx.setLineDash([3, 3]);
      for (const mark of all.marks) {
        if (mark.step < x.min || mark.step > x.max) continue;
        const at = x.getPixelForValue(mark.step);
        ctx.beginPath();
        ctx.moveTo(at, area.top);
        ctx.lineTo(at, area.bottom);
        ctx.stroke();
        const fits = at + ctx.measureText(mark.label).width + 6 < area.right;
        ctx.textAlign = fits ? 'left' : 'right';
        ctx.fillText(mark.label, at + (fits ? 4 : -4), area.top + 11);
      }
      ctx.restore();
    },
  };

  // The distance of ticks for bytes, so that they are round numbers of KiB or MiB.
  const tickStep = (unit, most) => (unit === 'bytes' && most > 0
    ? { stepSize: 2 ** Math.ceil(Math.log2(most / (innerWidth < 700 ? 3 : 6))) } : {});
  // On a logarithmic axis that spans more than one power: ticks at powers only, at most about six.
  const thinTicks = (unit) => (scale) => {
    if (scale.type !== 'logarithmic' || !(scale.min > 0)) return;
    const base = unit === 'bytes' ? 4 : 10;
    const powers = Math.log(scale.max / scale.min) / Math.log(base);
    if (powers < 1.5) return;
    const step = base ** Math.ceil(powers / 6);
    const ticks = [];
    const first = step ** Math.ceil(Math.log(scale.min) / Math.log(step) - 1e-9);
    for (let value = first; value <= scale.max; value *= step) ticks.push({ value });
    scale.ticks = ticks;
  };
  const axis = (more) => ({
    grid: { color: css('--line') },
    ticks: { color: css('--faint'), maxRotation: 0, ...more },
  });
  // The legend's lines with the dashes of their datasets, in the order of these.
  const generateLabels = (chart) => Chart.defaults.plugins.legend.labels.generateLabels(chart)
    .map((label) => ({ ...label, lineWidth: 2, lineDash: chart.data.datasets[label.datasetIndex].borderDash }));
  const legendLabels = (pointStyle) => ({
    color: css('--ink'), usePointStyle: true, pointStyle, generateLabels,
    sort: (a, b) => a.datasetIndex - b.datasetIndex,
  });
  const shared = (unit, legend, value) => ({
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    plugins: {
      legend: { display: legend, labels: legendLabels('line') },
      tooltip: {
        callbacks: {
          label: (item) => (item.dataset.label ? item.dataset.label + ': ' : '') + texts[unit](value(item)),
        },
      },
    },
  });

  const drawLines = (figure) => {
    const options = shared(figure.unit, figure.series.some((line) => line.label), (item) => item.parsed.y);
    options.parsing = false;
    options.normalized = true;
    options.interaction = { mode: 'nearest', axis: 'x', intersect: false };
    options.plugins.marks = true;
    options.plugins.tooltip.callbacks.title = (items) => (items.length ? 'step ' + items[0].parsed.x : '');
    const logarithmic = document.querySelector('#' + figure.id + ' button[data-logarithmic]');
    options.scales = {
      x: { type: 'linear', title: { display: true, text: 'step', color: css('--faint') }, ...axis({ precision: 0 }) },
      y: {
        type: logarithmic ? 'logarithmic' : 'linear',
        beginAtZero: figure.zero,
        afterBuildTicks: thinTicks(figure.unit),
        ...axis({
          callback: (value) => texts[figure.unit](value),
          ...(logarithmic ? {} : tickStep(figure.unit, largest(figure.series.map((line) => largest(line.y))))),
        }),
      },
    };
    const last = Math.max(...figure.series.map((line) => line.x[line.x.length - 1]));
    const first = Math.min(...figure.series.map((line) => line.x[0]));
    options.scales.x.min = first;
    options.scales.x.max = last > first ? last : first + 1;
    return new Chart(canvas(figure.id), {
      type: 'line',
      plugins: [marks],
      options,
      data: {
        datasets: figure.series.map((line, place) => ({
          label: line.label,
          order: -place, // later lines, which may be dashed, are above earlier ones
          data: line.x.map((x, i) => ({ x, y: line.y[i] === null ? NaN : line.y[i] })),
          borderColor: colour(line.colour),
          backgroundColor: colour(line.colour),
          borderDash: dashes[line.dash % dashes.length],
          borderWidth: 1.6,
          pointRadius: line.points || line.x.length === 1 ? 3.5 : 0,
          pointHitRadius: 6,
          ...(line.points ? { clip: 6 } : {}), // points at the edges are drawn whole
        })),
      },
    });
  };

  const drawBars = (figure) => {
    const options = shared(figure.unit, true, (item) => item.parsed.x);
    const longest = largest(figure.labels.map((_, i) => figure.series.reduce((sum, part) => sum + part.y[i], 0)));
    options.indexAxis = 'y';
    options.scales = {
      x: {
        stacked: true,
        ...axis({ callback: (value) => texts[figure.unit](value), ...tickStep(figure.unit, longest) }),
      },
      y: { stacked: true, ...axis({ autoSkip: false }) },
    };
    options.plugins.legend.labels = legendLabels('rect');
    canvas(figure.id).parentElement.style.height = 90 + 26 * figure.labels.length + 'px';
    return new Chart(canvas(figure.id), {
      type: 'bar',
      options,
      data: {
        labels: figure.labels,
        datasets: figure.series.map((part) => ({
          label: part.label, data: part.y, backgroundColor: colour(part.colour),
        })),
      },
    });
  };

  let charts = [];
  const draw = () => {
    for (const chart of charts) chart.destroy();
    charts = [...all.lines.map(drawLines), ...all.bars.map(drawBars)];
  };
  for (const button of document.querySelectorAll('figure button')) {
    button.addEventListener('click', () => {
      // Its words are what a click leads to.
      const logarithmic = button.toggleAttribute('data-logarithmic');
      button.textContent = logarithmic ? 'linear scale' : 'logarithmic scale';
      draw();
    });
  }
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  draw();
})();
