// Scores and segments: entropy as ood_lib/scores/of_logits.py has it, segments and their metrics as
// ood_lib/segments/metrics.py. The names are those of the library.
"use strict";
globalThis.playground ??= {};
{
  const EPSILON = 2 ** -23; // inside MetaSeg's logarithm

  /** Of logits (pixels, C): probabilities (pixels, C), entropy and most likely class (pixels). */
  function classify(logits, classes) {
    const pixels = logits.length / classes;
    const probabilities = new Float32Array(logits.length);
    const [score, best] = [new Float32Array(pixels), new Uint8Array(pixels)];
    for (let i = 0; i < pixels; i++) {
      const start = i * classes;
      for (let c = 1; c < classes; c++) {
        if (logits[start + c] > logits[start + best[i]]) best[i] = c;
      }
      const most = logits[start + best[i]];
      let sum = 0;
      for (let c = 0; c < classes; c++) {
        probabilities[start + c] = Math.exp(logits[start + c] - most);
        sum += probabilities[start + c];
      }
      let entropy = 0; // of the equation 3.1: with log p = y - log of the sum of exp y
      for (let c = 0; c < classes; c++) {
        probabilities[start + c] /= sum;
        entropy -= probabilities[start + c] * (logits[start + c] - most - Math.log(sum));
      }
      score[i] = Math.min(Math.abs(entropy / Math.log(classes)), 1);
    }
    return { probabilities, score, best, classes };
  }

  /** The 8 neighbours of a pixel that lie in the picture. */
  function neighbours(pixel, width, height) {
    const [row, column] = [Math.floor(pixel / width), pixel % width];
    const found = [];
    for (let r = Math.max(row - 1, 0); r <= Math.min(row + 1, height - 1); r++) {
      for (let c = Math.max(column - 1, 0); c <= Math.min(column + 1, width - 1); c++) {
        if (r !== row || c !== column) found.push(r * width + c);
      }
    }
    return found;
  }

  /** Numbers of the 8-connected segments where the score reaches the threshold inside the region:
   *  from 1 in raster order, 0 elsewhere; and how many there are. */
  function findSegments(score, threshold, region, width) {
    const labels = new Int32Array(score.length);
    const limit = Math.fround(threshold); // float32, as the scores are
    const isStrange = (pixel) => score[pixel] >= limit && region[pixel] && labels[pixel] === 0;
    let count = 0;
    for (let first = 0; first < score.length; first++) {
      if (!isStrange(first)) continue;
      labels[first] = ++count;
      const open = [first];
      while (open.length) {
        for (const next of neighbours(open.pop(), width, score.length / width)) {
          if (!isStrange(next)) continue;
          labels[next] = count;
          open.push(next);
        }
      }
    }
    return { labels, count };
  }

  /** Entropy, margin and variation ratio E, D, V of a pixel's probabilities. */
  function heats(probabilities, start, classes) {
    let [entropy, first, second] = [0, 0, 0];
    for (let c = 0; c < classes; c++) {
      const p = probabilities[start + c];
      entropy -= p * Math.log(p + EPSILON);
      second = Math.max(second, Math.min(first, p));
      first = Math.max(first, p);
    }
    return [entropy / Math.log(classes), 1 - first + second, 1 - first];
  }

  function meanAndVariance(values) {
    if (values.length === 0) return [0, 0];
    const mean = values.reduce((a, b) => a + b) / values.length;
    return [mean, values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length];
  }

  /** The metrics of each segment, an array of numbers in the order of metric_names(). */
  function segmentMetrics({ probabilities, best, classes }, { labels, count }, width) {
    const members = Array.from({ length: count }, () => []);
    labels.forEach((label, pixel) => label && members[label - 1].push(pixel));
    return members.map((pixels) => {
      const [around, inside] = [new Float64Array(classes), new Array(pixels.length)];
      pixels.forEach((pixel, i) => {
        const outside = neighbours(pixel, width, labels.length / width).filter((n) => !labels[n]);
        outside.forEach((neighbour) => around[best[neighbour]]++);
        inside[i] = outside.length === 0;
      });
      return metricsOf(pixels, inside, around, probabilities, classes, width);
    });
  }

  function metricsOf(pixels, inside, around, probabilities, classes, width) {
    const maps = pixels.map((pixel) => heats(probabilities, pixel * classes, classes));
    const inner = inside.filter(Boolean).length;
    const boundary = Math.max(pixels.length - inner, 1); // a segment that fills the picture has none
    const [relative, relativeInner] = [pixels.length / boundary, inner / boundary];
    const row = pixels.reduce((sum, pixel) => sum + Math.floor(pixel / width), 0) / pixels.length;
    const column = pixels.reduce((sum, pixel) => sum + (pixel % width), 0) / pixels.length;
    const metrics = [
      row, column, pixels.length, inner, pixels.length - inner, relative, relativeInner,
    ];
    for (let heat = 0; heat < 3; heat++) {
      const values = maps.map((map) => map[heat]);
      const whole = meanAndVariance(values);
      const within = meanAndVariance(values.filter((_, i) => inside[i]));
      const edge = meanAndVariance(values.filter((_, i) => !inside[i]));
      for (const i of [0, 1]) { // the mean, then the variance
        metrics.push(whole[i], within[i], edge[i], whole[i] * relative, within[i] * relativeInner);
      }
    }
    for (let c = 0; c < classes; c++) {
      const sum = pixels.reduce((total, pixel) => total + probabilities[pixel * classes + c], 0);
      metrics.push(sum / pixels.length);
    }
    const pairs = Math.max(around.reduce((a, b) => a + b), 1);
    return [...metrics, ...around.map((number) => number / pairs)];
  }

  Object.assign(playground, { classify, findSegments, segmentMetrics });
}
