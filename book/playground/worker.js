// The worker: what takes longer than a moment, so that the page never waits. It answers messages
// { id, ask, ... } by { id, ... }, in the order in which they come.
"use strict";
{
  const CLASSES = 19;
  const KINDS = ["logistic", "neural"];
  const networks = {}; // by name
  const classifiers = {}; // by name of network and kind
  const seen = {}; // by name of network what it last saw, for other thresholds
  let about, lesson, isStopped;

  /** Open the pack of networks; throws where this browser computes other numbers. */
  async function load({ wasm, text }) {
    await playground.start(wasm);
    const pack = await playground.open(text);
    about = pack.about;
    // The second network lies as the bits that differ from the first.
    const planes = { before: pack.before, after: pack.after.map((bits, i) => bits ^ pack.before[i]) };
    for (const [name, halves] of Object.entries(planes)) {
      const numbers = playground.fromHalves(halves);
      networks[name] = playground.readNetwork(about.nodes, about.shapes, numbers);
      classifiers[name] = Object.fromEntries(KINDS.map((kind) => {
        const part = (what) => pack[`${name}.${kind}.${what}`];
        return [kind, { mean: part("mean"), scale: part("scale"), parameters: part("parameters") }];
      }));
    }
    check(pack["check.picture"], pack["check.score"]);
    return { metrics: about.metrics, threshold: about.threshold };
  }

  function check(picture, score) {
    const pixels = new Uint8Array((picture.length / 3) * 4);
    picture.forEach((value, i) => { pixels[Math.floor(i / 3) * 4 + (i % 3)] = value; });
    const found = scored("after", pixels).score;
    const worst = found.reduce((most, value, i) => Math.max(most, Math.abs(value - score[i] / 255)), 0);
    if (!(worst < 0.01)) throw new Error("this browser computes other numbers than it should");
  }

  function scored(network, pixels) {
    const size = [pixels.length / 4 / playground.WIDTH, playground.WIDTH];
    const started = performance.now();
    const logits = playground.logitsOf(networks[network], pixels, size);
    const milliseconds = performance.now() - started; // of the network alone
    return { ...playground.classify(logits, CLASSES), milliseconds };
  }

  /** Score, classes, segments and verdicts for a picture. */
  function see({ network, pixels, region, threshold }) {
    const { score, best, milliseconds, ...rest } = scored(network, pixels);
    seen[network] = { score, best, region, ...rest };
    return { ...cut({ network, threshold }), score, best, milliseconds };
  }

  /** Segments and verdicts for what was seen last, at another threshold. */
  function cut({ network, threshold }) {
    const last = seen[network];
    const limit = threshold ?? about.threshold;
    const segments = playground.findSegments(last.score, limit, last.region, playground.WIDTH);
    const metrics = playground.segmentMetrics(last, segments, playground.WIDTH);
    const judge = (kind) => metrics.map((row) => playground.verdictBy[kind](
      (classifiers[network] ?? classifiers.after)[kind], row, // a network that learned here has none
    ));
    const pFP = Object.fromEntries(KINDS.map((kind) => [kind, judge(kind)]));
    return { labels: segments.labels, metrics, pFP };
  }

  /** Teach a copy of the closed-set network, called "learned"; after each step others are heard. */
  async function learn({ id, learnText, scenesText, lambda, seed, steps }) {
    lesson ??= playground.prepare(await playground.open(learnText), await playground.open(scenesText));
    const { nodes, weights } = networks.before;
    const copies = Object.entries(weights).map(([name, tensor]) => [name, tf.clone(tensor)]);
    networks.learned = { nodes, weights: Object.fromEntries(copies) };
    isStopped = false;
    await playground.teach(networks.learned, lesson, { lambda, seed, steps }, async (news) => {
      self.postMessage({ id, news });
      await new Promise((resolve) => { setTimeout(resolve); }); // messages come in
      return !isStopped;
    });
    return { isStopped };
  }

  function stop() {
    isStopped = true;
    return {};
  }

  /** For tests: loss and gradients, by name, of a batch. */
  function gradients({ images, labels, shape, lambda }) {
    return playground.gradientsOf(networks.before, images, labels, shape, lambda, CLASSES);
  }

  /** For benchmarks: the weights that were learned. */
  function learned() {
    const found = Object.entries(networks.learned.weights);
    return { weights: Object.fromEntries(found.map(([name, tensor]) => [name, tensor.dataSync()])) };
  }

  const answers = { load, see, cut, learn, stop, gradients, learned };
  self.onmessage = async ({ data }) => {
    try {
      self.postMessage({ id: data.id, ...await answers[data.ask](data) });
    } catch (error) {
      self.postMessage({ id: data.id, error: String(error.message ?? error) });
    }
  };
}
