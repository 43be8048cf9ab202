// The page of `lockstep bench scaling`: links, steps, predictions and money.
"use strict";
(() => {
  const {element, number, money, duration, line_chart, table, swatch, series_color} = LockstepCharts;
  const data = JSON.parse(document.getElementById("data").textContent);
  const main = document.querySelector("main");
  const section = (title, ...children) => {
    const made = element("section", {}, element("h2", {}, title), ...children);
    main.append(made);
    return made;
  };
  const muted = (text) => element("p", {class: "muted"}, text);
  // Words stay whole; what is too wide scrolls.
  function wide_table(...arguments_of_table) {
    const made = table(...arguments_of_table);
    made.classList.add("whole");
    return made;
  }
  const unique = (values) => [...new Set(values)];
  const percent = (share, digits = 1) => number(Number((100 * share).toFixed(digits))) + " %";
  const signed = (share) => (share >= 0 ? "+" : "") + percent(share);
  const ms = (seconds) => number(Number((1000 * seconds).toPrecision(4))) + " ms";
  const bytes = (count) => {
    const unit = [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]].find(([size]) => count >= size);
    return unit ? number(Number((count / unit[0]).toPrecision(3))) + " " + unit[1] : count + " B";
  };
  const decimal_bytes = (count) => {
    const unit = [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]].find(([size]) => count >= size);
    return unit ? number(Number((count / unit[0]).toPrecision(3))) + " " + unit[1] : number(count) + " B";
  };
  const ranks_text = (ranks) => ranks + (ranks === 1 ? " rank" : " ranks");
  const links = unique(data.links.map((link) => link.link));
  const workloads = unique(data.steps.map((step) => step.workload));
  data.findings.sort((a, b) => workloads.indexOf(a.workload) - workloads.indexOf(b.workload));
  const link_color = (link) => series_color(Math.max(0, links.indexOf(link)));
  const find_step = (workload, link, ranks) =>
    data.steps.find((step) => step.workload === workload && step.link === link && step.ranks === ranks);
  const contender = (step, name) => step && step.contenders.find((one) => one.contender === name);

  function head() {
    main.append(element("h1", {}, "Scaling over ranks and links"));
    main.append(element("p", {class: "muted"}, "Made by ", element("code", {}, data.command)));
    for (const machine of data.machines) main.append(element("p", {}, "Measured on " + machine));
    const worst = Math.max(...data.findings.filter((one) => one.ranks > one.fitted_at).map((one) => Math.abs(one.error)));
    const card = (label, value) => element("div", {class: "card"}, element("span", {class: "muted"}, label), element("b", {}, value));
    main.append(element("div", {class: "cards"},
      card("links", links.join(", ") || "none"), card("workloads", workloads.join(", ") || "none"),
      card("ranks", unique([1, ...data.links.map((link) => link.ranks)]).join(", ")), card("scaling", data.mode),
      card("predictions off by at most", Number.isFinite(worst) ? percent(worst) : "not tested")));
    if (data.machines.length > 1)
      main.append(element("p", {class: "warning"}, "Measurements of different machines are mixed here, as asked for."));
    for (const missing of data.missing) main.append(element("p", {class: "warning"}, "Not there: " + missing));
    if (data.findings.some((one) => one.oversubscribed))
      main.append(element("p", {class: "warning"}, "Ranks marked * are oversubscribed: there are more of them than the " + data.cores +
        " cores, so that what they compute waits for cores as well as for the link."));
  }

  function bandwidth() {
    const charts = element("div", {class: "charts"});
    const made = section("Links: bandwidth against size", muted("Bus bandwidth of our all-reduce, as nccl-tests counts it: size / time x 2(n-1)/n. " +
      "Dashed: the fit, time = latency + size x time per byte."), charts);
    for (const link of links) {
      const series = [];
      data.links.filter((one) => one.link === link).forEach((one, index) => {
        const ours = one.times.filter((time) => time.contender === "lockstep");
        const factor = 2 * (one.ranks - 1) / one.ranks;
        series.push({label: ranks_text(one.ranks), color: series_color(index), points: true, width: 2,
                     x: ours.map((time) => time.bytes), y: ours.map((time) => time.busbw_gb_per_s)});
        series.push({label: ranks_text(one.ranks) + ", fit", color: series_color(index), dashed: true,
                     x: one.fitted.map(([size]) => size), y: one.fitted.map(([size, time]) => size / time * factor / 1e9)});
      });
      line_chart(charts, {title: link + ", GB/s", x_label: "size", log_x: true, format_x: decimal_bytes,
                          range_y: (chart, low, high) => [0, high > 0 ? 1.1 * high : 1]}, series);
    }
    made.append(wide_table(["link", "ranks", "backend", "latency", "per byte and hop", "worst residual", "raw TCP stream", "sent, of what rings send"],
      data.links.map((one) => [one.link, String(one.ranks), one.backend, number(1e6 * one.latency_s) + " µs",
        number(Number((1e9 * one.hop_s_per_byte).toPrecision(3))) + " ns", percent(one.worst_residual),
        one.attained_gbit_per_s === null ? "-" : number(Number(one.attained_gbit_per_s.toPrecision(3))) + " Gb/s" +
          (one.nominal_gbit_per_s ? " of " + number(one.nominal_gbit_per_s) : ""), one.carrier])));
  }

  function beside() {
    if (!data.peers.length) return;
    const rows = data.peers.flatMap((one) => unique(one.times.map((time) => time.bytes)).map((size) => {
      const of = (name) => one.times.find((time) => time.contender === name && time.bytes === size);
      const cell = (name) => of(name) ? ms(of(name).time_s.median) : "absent";
      return [one.link, String(one.ranks), bytes(size), cell("lockstep"), cell("gloo"), cell("mpi")];
    }));
    section("All-reduce beside Gloo and MPI", muted("Median times, alternating in the same run."),
      wide_table(["link", "ranks", "size", "ours", "Gloo", "MPI_Allreduce"], rows));
  }

  function efficiency() {
    const charts = element("div", {class: "charts"});
    const made = section("Scaling efficiency", muted(data.mode === "weak" ?
      "The step on one rank over the step on n ranks: every rank has the same batch." :
      "The step on one rank over n times the step on n ranks: all ranks share one batch."), charts);
    for (const workload of workloads) {
      const rows = data.findings.filter((one) => one.workload === workload);
      const most = Math.max(1, ...rows.map((one) => one.ranks));
      const series = [{label: "ideal", color: "--muted", dashed: true, x: [1, most], y: [100, 100]}];
      for (const link of links) {
        const of = rows.filter((one) => one.link === link);
        const curve = (label, key, more) => {
          const there = of.filter((one) => one[key] > 0);
          if (there.length) series.push({label: link + label, color: link_color(link),
            x: [1, ...there.map((one) => one.ranks)], y: [100, ...there.map((one) => 100 * one[key])], ...more});
        };
        curve(", computed", "efficiency", {points: true, width: 2});
        curve(", predicted", "predicted_efficiency", {dashed: true});
      }
      line_chart(charts, {title: workload + ", efficiency", x_label: "ranks", format_y: (y) => number(Math.round(y)) + " %",
                          format_x: (x) => Number.isInteger(x) ? number(x) : "",
                          range_y: (chart, low, high) => [0, Math.max(105, high)]}, series);
    }
    const cell = (spread) => spread === null ? "absent" : ms(spread.median) + " (" + ms(spread.min) + " to " + ms(spread.max) + ")";
    made.append(wide_table(["workload", "link", "ranks", "computed, median (min to max)", "efficiency", "PyTorch DDP", "efficiency"],
      data.findings.map((one) => [one.workload, one.link, one.ranks + (one.oversubscribed ? "*" : ""), cell(one.computed_s),
        one.efficiency > 0 ? percent(one.efficiency) : "-", cell(one.pytorch_s), one.pytorch_efficiency > 0 ? percent(one.pytorch_efficiency) : "-"]), 2));
  }

  function predictions() {
    if (!data.findings.length) return;
    section("Predicted and measured steps", muted("Predicted from one rank's recorded gradient-ready times, the all-reduces of the fewest ranks and, for more, what those lost by waiting for each other. " +
      "Replayed: the same times slept instead of computed, gradients averaged for real."),
      wide_table(["workload", "link", "ranks", "predicted", "replayed", "error", ""], data.findings.map((one) => [
        one.workload, one.link, String(one.ranks), ms(one.predicted_s), ms(one.replayed_s), signed(one.error),
        one.ranks === one.fitted_at ? "fitted here" : ""]), 2));
  }

  const parts = [{key: "forward_s", label: "forward", color: "--c0"}, {key: "backward_s", label: "backward", color: "--c6"},
                 {key: "exposed_s", label: "exposed communication", color: "--c1"}, {key: "optimizer_s", label: "optimizer", color: "--c3"}];
  const legend = (list) => element("div", {class: "legend"}, ...list.map((part) => element("span", {}, swatch(part.color), part.label)));

  // Bars of one workload share a scale.
  function where_time_goes() {
    const boxes = workloads.map((workload) => {
      const bars = [];
      for (const step of data.steps.filter((one) => one.workload === workload)) {
        for (const name of ["averaged", "replayed"]) {
          const one = contender(step, name);
          if (one && one.timeline) bars.push({step, name, timeline: one.timeline});
        }
      }
      const total = (timeline) => parts.reduce((sum, part) => sum + timeline[part.key], 0);
      const longest = Math.max(...bars.map((bar) => total(bar.timeline)));
      return element("div", {class: "parts"}, element("h3", {}, workload), ...bars.map(({step, name, timeline}) => element("div", {class: "lines"},
        element("div", {class: "ends muted"},
          element("span", {}, (step.link ? step.link + ", " : "") + ranks_text(step.ranks) + (step.ranks > data.cores ? "*" : "") +
            (name === "averaged" ? ", computed" : ", replayed")), element("span", {}, ms(total(timeline)))),
        element("div", {class: "bar"}, ...parts.map((part) => element("span", {title: part.label + ": " + ms(timeline[part.key]),
          style: {width: (100 * timeline[part.key] / longest) + "%", background: "var(" + part.color + ")"}}))))));
    });
    section("Where a step's time goes", muted("Rank 0's step of median length. Exposed communication is waiting for other ranks at the end of the backward pass."),
      legend(parts), element("div", {class: "charts"}, ...boxes));
  }

  // A row for the backward pass, and one for each bucket: ready, waiting for the link, travelling.
  function bucket_lines(title, backward_s, buckets, longest) {
    const place = (from, to) => ({left: (100 * from / longest) + "%", width: Math.max(0.2, 100 * (to - from) / longest) + "%"});
    const span = (from, to, color, text) => element("span", {title: text, style: {...place(from, to), background: "var(" + color + ")"}});
    const row = (...spans) => element("div", {class: "line bucket"}, ...spans);
    return element("div", {class: "lines"}, element("h3", {}, title), row(span(0, backward_s, "--c6", "backward pass: " + ms(backward_s))),
      ...buckets.map(([size, ready, begin, end], index) => row(
        span(ready, begin, "--c9", "bucket " + index + " waits for the link: " + ms(begin - ready)),
        span(begin, end, "--c1", "bucket " + index + ", " + bytes(size) + ": from " + ms(begin) + " to " + ms(end)))));
  }

  function time_lines() {
    const boxes = [];
    for (const one of data.findings) {
      const replayed = contender(find_step(one.workload, one.link, one.ranks), "replayed");
      const profile = data.profiles.find((other) => other.workload === one.workload &&
        other.batch_size === find_step(one.workload, one.link, one.ranks).batch_size);
      if (!replayed || !replayed.timeline || !profile) continue;
      const measured = replayed.timeline;
      const longest = Math.max(profile.backward_s, ...[...measured.buckets, ...one.predicted_buckets].map((bucket) => bucket[3]));
      boxes.push(element("details", boxes.length < 4 ? {open: "", class: "parts"} : {class: "parts"},
        element("summary", {}, one.workload + " over " + one.link + ", " + ranks_text(one.ranks) + ", " + ms(longest)),
        bucket_lines("replayed", profile.backward_s, measured.buckets, longest),
        bucket_lines("predicted", profile.backward_s, one.predicted_buckets, longest)));
    }
    if (boxes.length) section("Buckets under the backward pass", muted("From the beginning of the backward pass. What is right of it is exposed."),
      legend([{color: "--c6", label: "backward pass"}, {color: "--c9", label: "ready, waiting for the link"}, {color: "--c1", label: "all-reduce"}]),
      element("div", {class: "charts"}, ...boxes));
  }

  function epochs() {
    if (!data.epochs.length) return;
    const priced = data.price_per_gpu_hour > 0;
    const charts = element("div", {class: "charts"});
    const made = section("An epoch on more ranks, predicted", muted(number(data.samples_per_epoch) + " samples; every rank computes as the one that was measured; " +
      (priced ? money(data.price_per_gpu_hour, data.currency) + " per GPU-hour. " : "no price was given (--price-per-gpu-hour, --gpu-type). ") +
      "Hierarchical: hosts of " + data.ranks_per_host + " ranks, which exchange over shared memory."), charts);
    for (const workload of workloads) {
      const series = [];
      for (const epoch of data.epochs.filter((one) => one.workload === workload)) {
        for (const algorithm of unique(epoch.rows.map((row) => row.algorithm))) {
          const rows = epoch.rows.filter((row) => row.algorithm === algorithm);
          series.push({label: epoch.link + ", " + algorithm, color: link_color(epoch.link), dashed: algorithm === "hierarchical",
                       points: true, x: rows.map((row) => row.ranks), y: rows.map((row) => priced ? row.cost : row.epoch_s / 3600)});
        }
      }
      line_chart(charts, {title: workload + (priced ? ", cost of an epoch" : ", hours of an epoch"), x_label: "ranks", log_x: true, log_y: true,
                          format_y: (y) => priced ? money(y, data.currency) : number(y) + " h"}, series);
    }
    const rows = data.epochs.flatMap((epoch) => epoch.rows.map((row) => [epoch.workload, epoch.link, row.algorithm, number(row.ranks),
      ms(row.step_s), percent(row.efficiency), number(row.samples_per_s), duration(row.epoch_s), priced ? money(row.cost, data.currency) : "-"]));
    made.append(element("details", {}, element("summary", {}, rows.length + " rows"),
      wide_table(["workload", "link", "algorithm", "ranks", "step", "efficiency", "samples/s", "epoch", "cost"], rows, 3)));
  }

  function commands() {
    const all = [...data.links, ...data.peers, ...data.steps].map((one) => [element("code", {}, one.command)]);
    section("Commands", element("details", {}, element("summary", {}, all.length + " measurements, each of which can be repeated alone"),
      table(["command"], all)));
  }

  head();
  if (links.length) bandwidth();
  beside();
  if (data.findings.length) efficiency();
  predictions();
  if (data.steps.length) where_time_goes();
  time_lines();
  epochs();
  commands();
})();
