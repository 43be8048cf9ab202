// What every report of ours draws with: elements made safely, numbers for people, and line charts over uPlot that
// follow their container's width, the reader's light or dark scheme, and the printer.
"use strict";
const LockstepCharts = (() => {
  const root = document.documentElement;
  const charts = [];
  const printed_width = 660;

  // element("td", {class: "number"}, "text", child, ...): strings become text, never markup.
  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === "style") Object.assign(made.style, value);
      else made.setAttribute(key, value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  const color = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const series_color = (index) => "--c" + (index % 8);

  function number(value) {
    if (value === null || value === undefined || !Number.isFinite(value)) return "-";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-4 || size >= 1e12)) return value.toExponential(2);
    return value.toLocaleString("en-US", {maximumFractionDigits: size >= 1000 ? 0 : size >= 10 ? 2 : size >= 0.1 ? 4 : 6});
  }

  function money(value, currency) {
    if (value === null || value === undefined) return "-";
    const digits = Math.abs(value) < 0.99995 && value !== 0 ? 4 : 2;
    const text = value.toLocaleString("en-US", {minimumFractionDigits: digits, maximumFractionDigits: digits});
    return currency === "USD" ? "$" + text : text + " " + currency;
  }

  function duration(seconds) {
    if (seconds === null || seconds === undefined || !(seconds >= 0)) return "-";
    if (seconds < 10) return number(Number(seconds.toPrecision(3))) + " s";
    const whole = Math.round(seconds);
    const two = (n) => String(n).padStart(2, "0");
    const minutes = Math.floor(whole / 60);
    if (minutes < 60) return minutes + ":" + two(whole % 60) + " min";
    return Math.floor(minutes / 60) + ":" + two(minutes % 60) + ":" + two(whole % 60) + " h";
  }

  const moment = (unix_s) => new Date(unix_s * 1000).toLocaleString("en-GB", {dateStyle: "medium", timeStyle: "medium"});

  // A thin vertical line at each mark, behind the curves.
  function draw_marks(chart, marks) {
    const {left, top, width, height} = chart.bbox;
    chart.ctx.save();
    for (const mark of marks) {
      const at = chart.valToPos(mark.x, "x", true);
      if (at < left || at > left + width) continue;
      chart.ctx.strokeStyle = color(mark.color);
      chart.ctx.lineWidth = devicePixelRatio;
      chart.ctx.setLineDash(mark.dashed ? [4 * devicePixelRatio, 4 * devicePixelRatio] : []);
      chart.ctx.beginPath();
      chart.ctx.moveTo(at, top);
      chart.ctx.lineTo(at, top + height);
      chart.ctx.stroke();
    }
    chart.ctx.restore();
  }

  // series: [{label, color ("--c0"), x: [ascending], y: [], dashed, points, value}], y's null is a gap.
  // options: {title, x_label, format_x, format_y, log_x, log_y, marks: [{x, color, dashed}], note}
  function line_chart(parent, options, series) {
    const box = element("div", {class: "chart"}, element("h3", {}, options.title));
    parent.append(box);
    const hole = element("div", {});
    box.append(hole);
    if (options.note) box.append(element("p", {class: "muted"}, options.note));
    // Where curves have different x, what one lacks is undefined, over which uPlot draws on; null stays a gap.
    const y_of = (one) => options.log_y ? one.y.map((y) => y > 0 ? y : null) : one.y;
    const data = uPlot.join(series.map((one) => [one.x, y_of(one)]), series.map(() => [0, 1]));
    const format_x = options.format_x || number;
    const format_y = options.format_y || number;
    const axis = (format, more) => ({
      stroke: () => color("--muted"), font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif",
      grid: {stroke: () => color("--grid"), width: 1}, ticks: {stroke: () => color("--line"), width: 1, size: 5},
      values: (chart, values) => values.map((value) => value === null ? "" : format(value)), ...more});
    const chart = new uPlot({
      width: Math.max(hole.clientWidth, 120), height: 260,
      scales: {x: {time: false, distr: options.log_x ? 3 : 1}, y: {distr: options.log_y ? 3 : 1, range: options.range_y}},
      axes: [
        axis(format_x, {label: options.x_label, labelSize: 20, size: 34, space: 70}),
        axis(format_y, {size: (chart, values) => 16 + 7 * Math.max(2, ...(values || []).map((value) => value.length))}),
      ],
      series: [{label: options.x_label, value: (chart, value) => value === null ? "-" : format_x(value)}].concat(
        series.map((one) => ({
          label: one.label, stroke: () => color(one.color), width: one.width || 1.5, dash: one.dashed ? [6, 4] : undefined,
          spanGaps: false, points: {show: Boolean(one.points) || one.x.length < 2, size: 6, fill: () => color(one.color)},
          value: (chart, value) => value === null || value === undefined ? "-" : format_y(value)}))),
      legend: {markers: {fill: (chart, index) => color(series[index - 1].color), stroke: () => "transparent"}},
      hooks: {drawAxes: [(chart) => draw_marks(chart, options.marks || [])]},
    }, data, hole);
    charts.push({chart, hole});
    return box;
  }

  function fit(chart, hole) {
    const width = root.classList.contains("print") ? printed_width : hole.clientWidth;
    if (width > 0 && width !== chart.width) chart.setSize({width, height: 260});
  }

  // uPlot draws its legend's swatches once; they follow the scheme here.
  function redraw_all() {
    for (const {chart, hole} of charts) {
      fit(chart, hole);
      chart.redraw(false);
      chart.root.querySelectorAll(".u-series").forEach((row, index) => {
        const marker = row.querySelector(".u-marker");
        if (marker && index > 0) marker.style.background = chart.series[index].stroke(chart, index);
      });
    }
  }

  function remove_all() {
    for (const {chart} of charts) chart.destroy();
    charts.length = 0;
  }

  let waiting = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => charts.forEach(({chart, hole}) => fit(chart, hole)));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw_all);
  addEventListener("beforeprint", () => { root.classList.add("print"); redraw_all(); });
  addEventListener("afterprint", () => { root.classList.remove("print"); redraw_all(); });

  // One stacked bar: parts [{label, color, value, text}].
  function stacked_bar(parts) {
    const total = parts.reduce((sum, part) => sum + part.value, 0);
    const bar = element("div", {class: "bar"});
    for (const part of parts) {
      if (!(part.value > 0)) continue;
      bar.append(element("span", {title: part.label + ": " + part.text,
        style: {width: (100 * part.value / total) + "%", background: "var(" + part.color + ")"}}));
    }
    return bar;
  }

  // Rows and heads are lists of strings or elements; columns from `first_number` on are set flush right.
  function table(heads, rows, first_number = 1) {
    const cell = (kind) => (content, index) => element(kind, index >= first_number ? {class: "number"} : {}, content);
    return element("div", {class: "scroll"}, element("table", {},
      element("thead", {}, element("tr", {}, ...heads.map(cell("th")))),
      element("tbody", {}, ...rows.map((row) => element("tr", row.differs ? {class: "differs"} : {}, ...row.map(cell("td")))))));
  }

  const swatch = (name) => element("span", {class: "swatch", style: {background: "var(" + name + ")"}});

  return {element, number, money, duration, moment, line_chart, stacked_bar, table, swatch, series_color, remove_all};
})();
