// What the playground's figure draws and says: pictures, outlines, tables, sentences.
"use strict";
{
  const ZOOM = 3; // canvas pixels for each pixel of the street, so that outlines are thin
  const { WIDTH, HEIGHT } = playground;

  /** An element with attributes and children. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  function canvas(label, attributes = {}) {
    const size = { width: WIDTH * ZOOM, height: HEIGHT * ZOOM };
    return make("canvas", { ...size, role: "img", "aria-label": label, ...attributes });
  }

  function choice(label, names, selected) {
    const select = make("select");
    names.forEach((name, i) => select.append(make("option", { value: i }, name)));
    select.value = selected;
    return [make("label", {}, `${label} `, select), select];
  }

  /** Draw pixels RGBA, and the outlines of segments: kept ones thick, removed ones thin. */
  function draw(target, pixels, found) {
    const small = new OffscreenCanvas(WIDTH, HEIGHT);
    small.getContext("2d").putImageData(new ImageData(pixels, WIDTH, HEIGHT), 0, 0);
    const context = target.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, target.width, target.height);
    if (!found) return;
    const isKept = (label) => found.pFP.neural[label - 1] < 0.5;
    outline(context, found.labels, (label) => !isKept(label), "#56b4e9", 1);
    outline(context, found.labels, isKept, "#ff8c1a", 3);
  }

  function outline(context, labels, chosen, colour, thickness) {
    context.beginPath();
    labels.forEach((label, pixel) => {
      if (label === 0 || !chosen(label)) return;
      const [x, y] = [pixel % WIDTH, Math.floor(pixel / WIDTH)];
      const line = (dx, dy, x0, y0, x1, y1) => {
        const [column, row] = [x + dx, y + dy];
        const inside = column >= 0 && column < WIDTH && row >= 0 && row < HEIGHT;
        if (inside && labels[row * WIDTH + column] === label) return;
        context.moveTo((x + x0) * ZOOM, (y + y0) * ZOOM);
        context.lineTo((x + x1) * ZOOM, (y + y1) * ZOOM);
      };
      line(-1, 0, 0, 0, 0, 1);
      line(1, 0, 1, 0, 1, 1);
      line(0, -1, 0, 0, 1, 0);
      line(0, 1, 0, 1, 1, 1);
    });
    context.strokeStyle = colour;
    context.lineWidth = thickness;
    context.stroke();
  }

  function heatMap(score, heat) {
    const pixels = new Uint8ClampedArray(score.length * 4).fill(255);
    score.forEach((value, i) => {
      const level = 3 * Math.round(255 * value);
      for (let c = 0; c < 3; c++) pixels[4 * i + c] = heat[level + c];
    });
    return pixels;
  }

  function metricTable(names, metrics) {
    return names.map((name, i) => make("tr", {},
      make("th", { scope: "row" }, name), make("td", {}, (metrics?.[i] ?? 0).toPrecision(4))));
  }

  /** The class that most pixels of the thing have; null where it is not seen. */
  function calledAs(best, seen, classes) {
    const votes = new Array(classes.length).fill(0);
    seen.forEach((isSeen, pixel) => { if (isSeen) votes[best[pixel]]++; });
    const most = Math.max(...votes);
    return most ? classes[votes.indexOf(most)] : null;
  }

  /** Whether the thing is found, and kept. */
  function fate({ labels, pFP }, seen) {
    let [all, found, kept] = [0, 0, 0]; // pixels of the thing
    seen.forEach((isSeen, pixel) => {
      if (!isSeen) return;
      all++;
      if (labels[pixel]) found++;
      if (labels[pixel] && pFP.neural[labels[pixel] - 1] < 0.5) kept++;
    });
    if (!found) return "not found";
    if (!kept) return "found, but taken for a false alarm";
    return kept < all / 4 ? "only a scrap of it found and kept" : "found and kept";
  }

  /** What is seen, in plain words. */
  function say({ thing, picture, results, classes }) {
    const called = calledAs(results.before.best, picture.seen, classes);
    if (!called) return `The ${thing.name} is hidden there, or too far away to be seen.`;
    const [after, before] = [results.after, results.before].map((each) => fate(each, picture.seen));
    const distance = Math.max(1, Math.round(picture.metres));
    return `The ${thing.name}, ${distance} ${distance === 1 ? "metre" : "metres"} away: ${after}. `
      + `Before fine-tuning it was called ${called}: ${before}.`;
  }

  /** The segments of a result, the largest first. */
  function segmentTable({ labels, metrics, pFP }) {
    const size = new Array(metrics.length).fill(0);
    labels.forEach((label) => { if (label) size[label - 1]++; });
    const order = size.map((_, i) => i).sort((a, b) => size[b] - size[a]).slice(0, 6);
    const body = make("tbody");
    for (const i of order) {
      const verdict = pFP.neural[i] < 0.5 ? "kept" : "removed";
      const cells = [i + 1, size[i], pFP.logistic[i].toFixed(2), pFP.neural[i].toFixed(2), verdict];
      body.append(make("tr", {}, ...cells.map((cell) => make("td", {}, `${cell}`))));
    }
    const probability = (kind) => make("span", {}, "p", make("sup", {}, "FP"), `, ${kind}`);
    const heads = ["segment", "pixels", probability("logistic"), probability("network"), "verdict"];
    const head = make("tr", {}, ...heads.map((name) => make("th", { scope: "col" }, name)));
    return { rows: [make("thead", {}, head), body], largest: order[0] };
  }

  playground.drawing = { make, canvas, choice, draw, heatMap, say, segmentTable, metricTable };
}
