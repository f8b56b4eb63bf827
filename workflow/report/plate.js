// The live plates of Part II: paths of gradient descent, USAM and SAM in two planes, computed here as the project does
// (src/sharpness/dynamics/{laws,quadratic,neuron}.py) for a radius and a step size that the reader chooses.
"use strict";

{
  const FLOOR = 1e-15;
  const LAWS = { gd: () => 0, usam: () => 1, sam: (n) => 1 / (n + FLOOR) };
  const TITLES = { gd: "Gradient descent", usam: "USAM", sam: "SAM" };
  const SLOPES = { sqrt: (z) => z / Math.sqrt(1 + z * z), "log-cosh": Math.tanh };
  const LARGEST = 1e100;
  const SVG = "http://www.w3.org/2000/svg";

  function step(gradient, w, law, rho, rate) {
    const g = gradient(w);
    const reach = rho * LAWS[law](Math.sqrt(g[0] * g[0] + g[1] * g[1]));
    const uphill = gradient([w[0] + reach * g[0], w[1] + reach * g[1]]);
    return [w[0] - rate * uphill[0], w[1] - rate * uphill[1]];
  }

  // The eigenvalue up to which USAM is stable, the root of ηλ(1 + ρλ) = 2.
  const edge = (rho, rate) => 4 / rate / (1 + Math.sqrt(1 + (8 * rho) / rate));

  // SAM's y² after some steps along the neuron's valley: the solution of dλ/dt = −8ηρ²λ/(2 − ηλ)² by bisection in ln λ.
  function drifted(start, rho, rate, steps) {
    const left = (log) => 4 * log - 4 * rate * Math.exp(log) + (rate * Math.exp(log)) ** 2 / 2;
    let high = Math.log(Math.min(start, 2 / rate));
    const goal = left(high) - 8 * rate * rho ** 2 * steps;
    let low = high - 2 * rate * rho ** 2 * steps - 2;
    for (let i = 0; i < 100; i++) {
      const middle = (low + high) / 2;
      if (left(middle) > goal) high = middle;
      else low = middle;
    }
    return Math.exp((low + high) / 2);
  }

  // What each plane adds: its gradient, what is read at a point, what theory says of it, and the points to mark.
  const PLANES = {
    quadratic: ({ eigenvalues: [first, second] }) => ({
      title: "The quadratic",
      reads: "loss",
      axes: ["w₁", "w₂"],
      gradient: (w) => [first * w[0], second * w[1]],
      read: (w) => (first * w[0] * w[0] + second * w[1] * w[1]) / 2,
      predict(law, rho, rate) {
        if (law !== "sam") return first < edge(law === "gd" ? 0 : rho, rate) ? 0 : Infinity;
        return rate * first < 2 ? ((rate * rho * first ** 2) / (2 - rate * first)) ** 2 / (2 * first) : Infinity;
      },
      ends: (loss) => (loss ? [[Math.sqrt((2 * loss) / first), 0], [-Math.sqrt((2 * loss) / first), 0]] : [[0, 0]]),
    }),
    neuron: ({ loss, start: [x, y], steps }) => ({
      title: "The single neuron",
      reads: "ηy²",
      axes: ["x", "y"],
      gradient(w) {
        const slope = SLOPES[loss](w[0] * w[1]);
        return [slope * w[1], slope * w[0]];
      },
      read: (w, rate) => rate * w[1] * w[1],
      predict(law, rho, rate) {
        const level = y * y - x * x;
        if (law === "sam") return rate * drifted(level, rho, rate, steps);
        return rate * Math.min(level, edge(law === "gd" ? 0 : rho, rate));
      },
      ends: (share, rate) => [[0, Math.sqrt(share / rate)]],
    }),
  };

  function walk(plane, plate, law, rho, rate) {
    const path = [plate.start];
    for (let i = 0; i < plate.steps; i++) {
      const next = step(plane.gradient, path[path.length - 1], law, rho, rate);
      const out = !(Math.hypot(...next) <= LARGEST);
      path.push(out ? [Infinity, Infinity] : next);
      if (out) break;
    }
    return path;
  }

  // The cell of the trained grid that is nearest in ln η and ln ρ; gradient descent's have no radius.
  function nearest(cells, law, rate, rho) {
    const far = (cell) => Math.abs(Math.log(cell[1] / rate)) + (law === "gd" ? 0 : Math.abs(Math.log(cell[2] / (rho || 1e-6))));
    return cells.filter((cell) => cell[0] === law).sort((one, other) => far(one) - far(other))[0];
  }

  // Of a loss or a sharpness, neither of which is negative.
  function written(value) {
    if (value === null || !(value < 1e12)) return "diverged";
    if (value === 0) return "0";
    if (value < 1e-30) return "below 10⁻³⁰";
    if (value >= 1e-3 && value < 1e4) return value.toFixed(4);
    const [mantissa, exponent] = value.toExponential(2).split("e");
    const raised = [...exponent].map((sign) => ({ "-": "⁻", "+": "" })[sign] ?? SUPERSCRIPTS[sign]).join("");
    return `${mantissa} × 10${raised}`;
  }

  function add(parent, name, attributes = {}, text = "") {
    const made = parent.namespaceURI === SVG || name === "svg" ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text) made.textContent = text;
    parent.append(made);
    return made;
  }

  // In steps of a twentieth of the first value, so that this is one of them.
  function slider(box, name, [low, high], value, redraw) {
    const size = value / 20;
    const label = add(box, "label", {}, `${name} = `);
    const output = add(label, "output");
    const input = add(label, "input", {
      type: "range",
      min: size * Math.ceil(low / size - 1e-9),
      max: size * Math.floor(high / size + 1e-9),
      step: size,
      "aria-label": name,
    });
    input.value = value;
    input.addEventListener("input", redraw);
    return () => {
      const chosen = Number(input.value);
      output.textContent = chosen.toPrecision(3);
      input.setAttribute("aria-valuetext", `${name} = ${chosen.toPrecision(3)}`);
      return chosen;
    };
  }

  function build(box, name, plate) {
    const plane = PLANES[name](plate);
    const part = add(box, "fieldset", { "data-plane": name });
    add(part, "legend", {}, plane.title);
    const [width, height] = [320, 240];
    const reach = plate.start.map((value) => 1.25 * Math.abs(value));
    const place = ([x, y]) => [(0.5 + x / (2.3 * reach[0])) * width, (1.1 - y / reach[1]) * (height / 1.45)];
    const svg = add(part, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
    const [middle, ground] = place([0, 0]);
    add(svg, "path", { class: "axis", d: `M0 ${ground}H${width}M${middle} 0V${height}` });
    add(svg, "text", { x: width - 4, y: ground - 5, "text-anchor": "end" }, plane.axes[0]);
    add(svg, "text", { x: middle + 6, y: 14 }, plane.axes[1]);
    const drawn = add(svg, "g");
    const rho = slider(part, "ρ", plate.radii, plate.rho, redraw);
    const rate = slider(part, "η", plate.rates, plate.rate, redraw);
    const table = add(add(part, "div", { class: "scroll" }), "table");
    const head = add(add(table, "thead"), "tr");
    for (const text of ["", `${plane.reads} here`, "predicted", "measured nearest by"]) add(head, "th", {}, text);
    const body = add(table, "tbody");

    function redraw() {
      const [radius, eta] = [rho(), rate()];
      drawn.replaceChildren();
      body.replaceChildren();
      for (const law of Object.keys(LAWS)) {
        const path = walk(plane, plate, law, radius, eta);
        // The first steps, then one in an odd number of them, which shows both sides of a cycle.
        const points = path.filter((_, i) => i < 50 || i % 9 === 0 || i === path.length - 1).map(place).filter(([x, y]) => Math.abs(x) < 1e4 && Math.abs(y) < 1e4);
        add(drawn, "polyline", { class: law, points: points.map((point) => point.map((at) => at.toFixed(2)).join()).join(" ") });
        const last = path[path.length - 1];
        const [here, predicted] = [plane.read(last, eta), plane.predict(law, radius, eta)];
        if (Number.isFinite(predicted) && law !== "gd") {
          for (const end of plane.ends(predicted, eta)) {
            const [x, y] = place(end);
            add(drawn, "path", { class: "end", d: law === "sam" ? `M${x - 5} ${y - 5}l10 10m0 -10l-10 10` : `M${x - 6} ${y}h12m-6 -6v12` });
          }
        }
        if (Number.isFinite(here)) {
          const [x, y] = place(last);
          add(drawn, "circle", { class: law, cx: x, cy: y, r: 3.5 });
        }
        const cell = nearest(plate.cells, law, eta, radius);
        const row = add(body, "tr", { class: law });
        const key = add(add(row, "td"), "svg", { viewBox: "0 0 24 8", class: "key", "aria-hidden": "true" });
        add(key, "polyline", { class: law, points: "0,4 24,4" });
        row.firstChild.append(` ${TITLES[law]}`);
        for (const value of [here, predicted]) add(row, "td", { "data-value": value }, written(value));
        const where = cell && `${written(cell[3])} (η = ${cell[1]}${law === "gd" ? "" : `, ρ = ${cell[2]}`})`;
        add(row, "td", {}, where ?? "—");
      }
      svg.setAttribute("aria-label", `${plane.title}: paths at ρ = ${radius.toPrecision(3)}, η = ${eta.toPrecision(3)}; `
        + "the table below has their ends. × and +: where theory says that SAM and USAM end.");
    }
    redraw();
  }

  document.querySelectorAll("script.plate").forEach((script) => {
    const tools = document.querySelector(`.tools[data-figure="${script.dataset.figure}"]`);
    const box = document.createElement("div");
    box.className = "plates";
    tools.after(box);
    add(box, "p", {}, "Choose a radius and a step size. × and + mark where theory says that SAM and USAM end, dots "
      + "where they are. The last column has the nearest cell computed beforehand, with starts and steps of its own.");
    for (const [name, plate] of Object.entries(JSON.parse(script.textContent))) build(box, name, plate);
  });
}
