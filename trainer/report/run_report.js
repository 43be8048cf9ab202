// The page of `lockstep report`: one run, or several beside each other.
"use strict";
(() => {
  const {element, number, money, duration, moment, line_chart, stacked_bar, table, swatch, series_color} = LockstepCharts;
  const data = JSON.parse(document.getElementById("data").textContent);
  const runs = data.runs;
  const several = runs.length > 1;
  const main = document.querySelector("main");
  const words = (name) => name.replaceAll("_", " ");
  const last = (list) => list[list.length - 1];
  const section = (title, ...children) => main.append(element("section", {}, element("h2", {}, title), ...children));
  const named = (run, index) => element("h3", {class: "run"}, swatch(series_color(index)), run.name);

  function money_of(run) {
    const total = run.parts.reduce((sum, part) => sum + part.money, 0);
    return run.currency ? money(total, run.currency) : "-";
  }
  // Of training: the ledger's running time has the launch in it as well.
  const seconds_of = (run) => run.attempts.reduce((sum, attempt) => sum + attempt.running_s, 0);
  const fact = (run, key) => (run.facts.find(([name]) => name === key) || [key, "-"])[1];
  function ended(run) {
    return words(last(run.attempts).end_reason) || "no end recorded";
  }

  function head() {
    main.append(element("h1", {}, several ? runs.length + " runs" : runs[0].name));
    main.append(element("p", {class: "muted"}, "Written on " + moment(data.made_unix_s) + " by ", element("code", {}, data.command)));
    for (const [index, run] of runs.entries()) {
      if (several) main.append(named(run, index));
      const rates = run.train.samples_per_s.filter((rate) => rate !== null).sort((a, b) => a - b);
      const card = (label, value) => element("div", {class: "card"}, element("span", {class: "muted"}, label), element("b", {}, value));
      const cards = [
        card("model", fact(run, "model")), card("data", fact(run, "data")),
        card("ranks", fact(run, "world_size") + " on " + fact(run, "device")),
        card("steps", number(Math.max(...run.attempts.map((attempt) => attempt.last_step)))),
        card("running time", duration(seconds_of(run))),
        card("samples/s, median", rates.length ? number(rates[rates.length >> 1]) : "-"),
      ];
      if (run.eval.loss.length) cards.push(card("test loss", number(last(run.eval.loss))));
      if (run.eval.accuracy.length && last(run.eval.accuracy) !== null)
        cards.push(card("test accuracy", number(100 * last(run.eval.accuracy)) + " %"));
      cards.push(card("cost", money_of(run)), card("ended", ended(run)));
      main.append(element("div", {class: "cards"}, ...cards));
      for (const line of run.damaged) main.append(element("p", {class: "warning"}, "Passed over: " + line));
    }
  }

  const kinds = {resume: {color: "--c1", label: "resumed"}, pause: {color: "--c3", label: "paused"},
                 checkpoint: {color: "--c2", label: "checkpoint"}, stop: {color: "--c5", label: "stopped"},
                 killed: {color: "--c5", label: "killed"},
                 other: {color: "--c7", label: "other"}};
  const kind_of = (event) => event in kinds ? event : "other";

  // The ends of attempts are events like the others. The last one may be running still.
  function events_of(run) {
    const end_of = (attempt) => ({paused: "pause", "": "killed"})[attempt.end_reason] || attempt.end_reason;
    const ends = run.attempts.filter((attempt) => attempt.end_reason || attempt !== last(run.attempts)).map((attempt) => ({
      event: end_of(attempt), attempt: attempt.attempt, step: attempt.last_step,
      time_unix_s: attempt.end_unix_s, running_s: attempt.earlier_s + attempt.running_s, save_time_s: null, detail: ""}));
    return run.events.concat(ends).sort((a, b) => a.time_unix_s - b.time_unix_s);
  }

  const shown = {x: "step", log: false};
  const charts = element("div", {class: "charts"});

  function draw_charts() {
    LockstepCharts.remove_all();
    charts.replaceChildren();
    const by_time = shown.x === "time";
    const span_s = Math.max(...runs.map(seconds_of));
    const unit = span_s >= 7200 ? {label: "hours", s: 3600} : span_s >= 120 ? {label: "minutes", s: 60} : {label: "seconds", s: 1};
    const x_of = (points) => by_time ? points.running_s.map((s) => s / unit.s) : points.step;
    const x_label = by_time ? "running time, " + unit.label : "step";
    const label = (run, what) => several ? run.name + (what ? ", " + what : "") : what || "value";
    const curve = (from, key, what, more) => runs.flatMap((run, index) => run[from][key].some((value) => value !== null) ?
      [{label: label(run, what), color: series_color(index), x: x_of(run[from]), y: run[from][key], ...more}] : []);
    const marks = several ? [] : events_of(runs[0]).filter((event) => kind_of(event.event) !== "other").map((event) => ({
      x: by_time ? event.running_s / unit.s : event.step, color: kinds[kind_of(event.event)].color, dashed: event.event === "checkpoint"}));
    const draw = (title, series, more) => series.length && line_chart(charts, {title, x_label, ...more}, series);
    const thinned = runs.filter((run) => run.shown < run.logged);
    const test_color = (one) => several ? one : {...one, color: "--c1"};
    draw("Loss", curve("train", "loss", "train").concat(curve("eval", "loss", "test", {dashed: true, points: true, width: 2}).map(test_color)),
      {log_y: shown.log, note: thinned.map((run) => run.name + ": " + number(run.shown) + " of " + number(run.logged) +
        " logged steps, the lowest and highest loss of each stretch").join("; ")});
    draw("Test accuracy", curve("eval", "accuracy", "", {points: true, width: 2}),
      {format_y: (y) => number(100 * y) + " %", range_y: (chart, low, high) => low < high ? uPlot.rangeNum(low, high, 0.1, true) : [0, 1]});
    draw("Throughput, samples/s", curve("train", "samples_per_s", ""), {marks, range_y: (chart, low, high) => [0, high > 0 ? 1.05 * high : 1]});
    draw("Learning rate", curve("train", "lr", ""));
    const currencies = new Set(runs.map((run) => run.currency).filter(Boolean));
    if (currencies.size === 1) draw("Spent", curve("train", "spend", ""), {format_y: (y) => money(y, [...currencies][0])});
    else for (const run of runs.filter((one) => one.currency))
      draw("Spent by " + run.name, [{label: run.name, color: series_color(runs.indexOf(run)), x: x_of(run.train), y: run.train.spend}],
        {format_y: (y) => money(y, run.currency)});
  }

  function curves() {
    if (!runs.some((run) => run.train.step.length || run.eval.step.length)) {
      section("Curves", element("p", {class: "muted"}, "No step was logged yet."));
      return;
    }
    const axis = element("select", {id: "axis"}, element("option", {value: "step"}, "step"), element("option", {value: "time"}, "running time"));
    const log = element("input", {type: "checkbox", id: "log"});
    axis.addEventListener("change", () => { shown.x = axis.value; draw_charts(); });
    log.addEventListener("change", () => { shown.log = log.checked; draw_charts(); });
    section("Curves", element("div", {class: "controls"}, element("label", {}, "across: ", axis), element("label", {}, log, " logarithmic loss"),
      element("span", {class: "muted"}, "Drag across a chart to look closer; a double click shows all.")), charts);
    draw_charts();
  }

  const part_colors = {data: "--c4", forward: "--c0", backward: "--c6", exposed_communication: "--c1", optimizer: "--c3", other: "--c7",
                       evaluation: "--c2", checkpoint: "--c8", rework: "--c5", between_steps: "--c9", start_up: "--c3", compute: "--c0",
                       idle: "--c9", billed_not_used: "--c7", storage: "--c7"};

  // Parts as one bar, and below it as a table; amounts where there is a currency.
  function parts_box(list, currency) {
    const rows = list.filter((part) => part.seconds > 0 || part.money > 0);
    const total = {name: "together", seconds: rows.reduce((sum, part) => sum + part.seconds, 0),
                   money: rows.reduce((sum, part) => sum + part.money, 0)};
    const color = (part) => part_colors[part.name] || "--c7";
    const share = (part) => number(Number((100 * part.seconds / (total.seconds || 1)).toFixed(1))) + " %";
    const cells = (part, name) => [name, duration(part.seconds), share(part)].concat(currency ? [money(part.money, currency)] : []);
    const bar = stacked_bar(rows.map((part) => ({label: words(part.name), color: color(part), value: part.seconds, text: duration(part.seconds)})));
    return [bar, table(["part", "time", "share"].concat(currency ? ["money"] : []),
      rows.map((part) => cells(part, element("span", {}, swatch(color(part)), words(part.name)))).concat([cells(total, total.name)]))];
  }

  function parts() {
    section("Where time and money went", element("p", {class: "muted"},
      "Rework is steps that were repeated after a restart; idle, or between steps, is what brings the run no further."),
      element("div", {class: "charts"}, ...runs.map((run, index) =>
        element("div", {class: "parts"}, several ? named(run, index) : null, ...parts_box(run.parts, run.currency)))));
    section("Of the training steps", element("p", {class: "muted"}, "Exposed communication is waiting for other ranks while nothing else could be done."),
      element("div", {class: "charts"}, ...runs.map((run, index) =>
        element("div", {class: "parts"}, several ? named(run, index) : null, ...parts_box(run.step_parts, "")))));
  }

  function time_line() {
    const boxes = runs.map((run, index) => {
      const begin = run.attempts[0].start_unix_s;
      const end = Math.max(...run.attempts.map((attempt) => attempt.end_unix_s), begin + 1e-3);
      const percent = (unix_s) => Math.min(100, Math.max(0, 100 * (unix_s - begin) / (end - begin)));
      const line = element("div", {class: "line"});
      for (const attempt of run.attempts) {
        const from = percent(attempt.start_unix_s);
        line.append(element("span", {class: "attempt", title: "attempt " + attempt.attempt + ": " + (words(attempt.end_reason) || "no end recorded"),
          style: {left: from + "%", width: (percent(attempt.end_unix_s) - from) + "%"}}));
      }
      const events = events_of(run);
      for (const event of events) {
        line.append(element("span", {class: "tick", title: words(event.event) + ", step " + event.step + ", " + moment(event.time_unix_s),
          style: {left: percent(event.time_unix_s) + "%", background: "var(" + kinds[kind_of(event.event)].color + ")"}}));
      }
      const row = (event) => [moment(event.time_unix_s), words(event.event), event.detail || "", String(event.attempt), number(event.step),
                              duration(event.running_s), event.save_time_s === null ? "" : duration(event.save_time_s)];
      return element("div", {class: "lines"}, several ? named(run, index) : null, line,
        element("div", {class: "ends muted"}, element("span", {}, moment(begin)), element("span", {}, moment(end))),
        element("details", several ? {} : {open: ""}, element("summary", {}, events.length + " events, " + run.attempts.length +
          (run.attempts.length === 1 ? " attempt" : " attempts")),
          element("div", {class: "tall"}, table(["when", "event", "detail", "attempt", "step", "running time", "stood still"], events.map(row), 3))));
    });
    section("What happened", element("div", {class: "legend"}, ...Object.values(kinds).map((kind) =>
      element("span", {}, swatch(kind.color), kind.label)), element("span", {class: "muted"}, "hatched: not running")), ...boxes);
  }

  // Keys down, runs across; what runs do not share is marked.
  function facts(title, field, open) {
    const keys = [...new Set(runs.flatMap((run) => run[field].map(([key]) => key)))];
    if (!keys.length) return;
    const rows = keys.map((key) => {
      const values = runs.map((run) => (run[field].find(([name]) => name === key) || [key, ""])[1]);
      const row = [words(key), ...values];
      row.differs = values.some((value) => value !== values[0]);
      return row;
    });
    const box = element("details", {class: "facts", ...(open ? {open: ""} : {})}, element("summary", {}, several ? "differences are marked" : keys.length + " lines"),
      table(["", ...runs.map((run) => run.name)], rows, 99));
    section(title, box);
  }

  head();
  curves();
  parts();
  time_line();
  facts("The run", "facts", true);
  facts("Options, as resolved", "options", false);
})();
