// The charts: columns of numbers from the server, drawn by uPlot in the page's own colours.
"use strict";

(() => {
  const root = document.getElementById("charts");
  const offline = document.getElementById("offline");
  const HEIGHT = 210;
  const EVERY = 3000;
  const STEPS = [0, 1, 2, 3, 4, 5, 6].flatMap((power) => [1, 2, 5].map((each) => each * 10 ** power));
  const COLOURS = {
    ttl: ["#7a869c", "#8c97aa"], idle: ["#a7b0c0", "#5f6a7c"], uses: ["#4c8fbd", "#6fb3e0"],
    finished: ["#2f9e68", "#5fd39a"], revoked: ["#cf3f34", "#ff7a6f"], invalidated: ["#e2763a", "#ff9f66"],
    parent: ["#7b68d9", "#a695ff"], agent: ["#b0359a", "#ea7bd6"], reuse: ["#8f1d2c", "#e05a6c"],
    key: ["#b98307", "#efc26f"], limit: ["#5d6f1c", "#b5cf5c"],
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const plots = {};
  let last = null;

  const colour = (light, other) => (dark.matches ? other : light);
  const of = (cause) => colour(...(COLOURS[cause] || ["#566073", "#9da7b8"]));
  const sum = (values) => values.reduce((all, each) => all + each, 0);
  const show = (id, value) => { document.getElementById(id).textContent = value.toLocaleString("en"); };

  const axes = () => {
    const stroke = colour("#566073", "#9da7b8");
    const grid = { stroke: colour("#e6e9ef", "#2b313c"), width: 1 };
    const font = "12px system-ui, sans-serif";
    const whole = (_, values) => values.map((each) => (Number.isInteger(each) ? each : ""));
    return [
      { stroke, font, size: 30, grid: { show: false }, ticks: { ...grid, size: 4 }, space: 70,
        values: [[3600, "{HH}:{mm}", null, null, null, null, null, null, 1], [60, "{HH}:{mm}", null, null, null, null, null, null, 1]] },
      { stroke, font, grid, ticks: { show: false }, size: 44, values: whole, incrs: STEPS, space: 34 },
    ];
  };
  const scales = () => ({
    x: { range: ({ data: [at] }, least, most) => [least, most + (at[1] - at[0])] }, // the last bar stands free
    y: { range: (_, least, most) => [0, Math.max(4, Math.ceil((most || 0) * 1.15))] },
  });
  const make = (id, series, data) => {
    const box = document.getElementById(id);
    if (plots[id]) {
      plots[id].destroy();
    }
    plots[id] = new uPlot({
      width: box.clientWidth, height: HEIGHT, series: [{}, ...series], axes: axes(), scales: scales(),
      legend: { show: false }, cursor: { drag: { x: false, y: false }, y: false }, padding: [8, 10, 0, 0],
    }, data, box);
  };
  const bars = (stroke) => ({ fill: stroke, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.7, 40], radius: 0.15 }) });
  const line = (stroke) => ({ stroke, width: 2, fill: `${stroke}22`, points: { show: false }, paths: uPlot.paths.stepped({ align: -1 }) });

  // Stacked: the tallest sum is drawn first, each further one over it.
  const stacked = (ended) => {
    const sums = [];
    let below = null;
    for (const cause of Object.keys(ended)) {
      below = ended[cause].map((value, at) => value + (below ? below[at] : 0));
      sums.unshift([cause, below]);
    }
    return sums;
  };
  const list = (ended) => {
    const items = Object.entries(ended).map(([cause, values]) => [cause, sum(values)]).sort((a, b) => b[1] - a[1]);
    document.getElementById("reasons").replaceChildren(...items.map(([cause, count]) => {
      const item = document.createElement("li");
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = of(cause);
      item.append(swatch, `${cause} `, Object.assign(document.createElement("strong"), { textContent: count }));
      return item;
    }));
  };
  const draw = (told) => {
    const sums = stacked(told.ended);
    make("plot-live", [line(colour("#3b4fd8", "#a3b1ff"))], [told.at, told.live]);
    make("plot-created", [bars(colour("#2f9e68", "#5fd39a"))], [told.at, told.created]);
    make("plot-ended", sums.map(([cause]) => bars(of(cause))), [told.at, ...sums.map(([, values]) => values)]);
    make("plot-denied", [bars(colour("#cf3f34", "#ff7a6f"))], [told.at, told.denied]);
    list(told.ended);
    show("n-live", told.live[told.live.length - 1]);
    show("n-created", sum(told.created));
    show("n-ended", sum(Object.values(told.ended).map(sum)));
    show("n-denied", sum(told.denied));
  };
  const redraw = () => { if (last) { draw(last); } };

  const ask = async () => {
    if (document.hidden) {
      return;
    }
    try {
      const answer = await fetch(root.dataset.source, { headers: { "HX-Request": "true" } });
      if (answer.status === 401) {
        location.assign(answer.headers.get("HX-Redirect"));
      } else if (answer.ok) {
        const text = await answer.text();
        if (!last || text !== last.text) {
          last = { ...JSON.parse(text), text };
          draw(last);
        }
      }
      offline.hidden = answer.ok;
    } catch {
      offline.hidden = false;
    }
  };

  dark.addEventListener("change", redraw);
  new ResizeObserver(redraw).observe(root);
  ask();
  setInterval(ask, EVERY);
})();
