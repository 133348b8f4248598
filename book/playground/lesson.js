// A lesson: the closed-set network learns to be uncertain, on a few dozen streets and proxy images.
"use strict";
globalThis.playground ??= {};
{
  const CLASSES = 19;
  const CROP = [96, 128]; // height and width, as in chapter 3
  const [BATCH, PROXIES] = [8, 1]; // images of a step, and how many of them are proxy images
  const [STEPS, RATE] = [24, 2e-4];
  const MEASURED_EVERY = 6; // steps

  /** Pictures with labels, as the sensor shows them: numbers RGB in [0, 1]. */
  function photograph(pack, about, names) {
    return about.map((sensor, i) => {
      const name = names(i);
      const [height, width] = pack.shapes[`${name}.labels`];
      const colours = Float32Array.from(pack[`${name}.picture`], (value) => value / 255);
      const pixels = playground.develop(colours, { ...sensor, seed: 1000 + i }, [width, height]);
      return { pixels, numbers: playground.asNumbers(pixels), labels: pack[`${name}.labels`], height, width };
    });
  }

  /** Cut a random window out of a picture and mirror half of them, into place n of the batch. */
  function cropInto(batch, n, { numbers, labels, height, width }, draw) {
    const [top, left] = [[height, CROP[0]], [width, CROP[1]]].map(
      ([from, to]) => Math.floor(draw() * (from - to + 1)),
    );
    const isMirrored = draw() < 0.5;
    for (let row = 0; row < CROP[0]; row++) {
      for (let column = 0; column < CROP[1]; column++) {
        const from = (top + row) * width + left + (isMirrored ? CROP[1] - 1 - column : column);
        const to = (n * CROP[0] + row) * CROP[1] + column;
        batch.labels[to] = labels[from];
        for (let c = 0; c < 3; c++) batch.images[3 * to + c] = numbers[3 * from + c];
      }
    }
  }

  /** One after the other in a random order, and when all were there again in another. */
  function* shuffled(pictures, draw) {
    while (true) {
      const order = pictures.map((picture) => [draw(), picture]).sort(([a], [b]) => a - b);
      for (const [, picture] of order) yield picture;
    }
  }

  function nextBatch(streets, proxies, draw) {
    const pixels = BATCH * CROP[0] * CROP[1];
    const batch = { images: new Float32Array(3 * pixels), labels: new Uint8Array(pixels) };
    for (let n = 0; n < BATCH; n++) {
      cropInto(batch, n, (n < PROXIES ? proxies : streets).next().value, draw);
    }
    return batch;
  }

  /** Mean over the classes of the intersection over the union, on held-out streets. */
  function meanIoU(network, streets) {
    const [both, either] = [new Array(CLASSES).fill(0), new Array(CLASSES).fill(0)];
    for (const { pixels, labels, height, width } of streets) {
      const { best } = playground.classify(playground.logitsOf(network, pixels, [height, width]), CLASSES);
      labels.forEach((label, i) => {
        if (label >= CLASSES) return; // ignored
        either[label]++;
        if (best[i] === label) both[label]++;
        else either[best[i]]++;
      });
    }
    const known = both.map((number, c) => [number, either[c]]).filter(([, total]) => total);
    return known.reduce((sum, [number, total]) => sum + number / total, 0) / known.length;
  }

  /** Train the network; `tell` hears of each step { step, steps, loss, meanIoU, milliseconds }, and
   *  says whether to go on. */
  async function teach(network, lesson, { lambda, seed, steps = STEPS }, tell) {
    const draw = playground.generator(seed);
    const streets = shuffled(lesson.streets, draw);
    const proxies = shuffled(lesson.proxies, draw);
    const adam = new playground.Adam();
    await tell({ step: 0, steps, meanIoU: meanIoU(network, lesson.heldOut) });
    for (let step = 1; step <= steps; step++) {
      const started = performance.now();
      const { images, labels } = nextBatch(streets, proxies, draw);
      const shape = [BATCH, ...CROP];
      const { loss, gradients } = playground.gradientsOf(network, images, labels, shape, lambda, CLASSES);
      const rate = RATE * Math.min(1, 2 * (1 - (step - 1) / steps)); // falls in the second half
      adam.step(network, gradients, rate);
      const milliseconds = performance.now() - started;
      const isMeasured = step % MEASURED_EVERY === 0 || step === steps;
      const measured = isMeasured ? meanIoU(network, lesson.heldOut) : null;
      if (!await tell({ step, steps, loss, meanIoU: measured, milliseconds })) return;
    }
  }

  /** The pictures of a lesson from both packs: streets and proxy images to learn from, and the
   *  playground's own streets, which are held out. */
  function prepare(learn, scenes) {
    const pictures = photograph(learn, learn.about.pictures, (i) => `picture${i}`);
    const isProxy = ({ labels }) => labels.every((label) => label >= 254);
    return {
      streets: pictures.filter((picture) => !isProxy(picture)),
      proxies: pictures.filter(isProxy),
      heldOut: photograph(scenes, scenes.about.streets, (i) => `street${i}`),
    };
  }

  Object.assign(playground, { teach, prepare });
}
